#pragma once
#include <array>
#include <cmath>
#include <qwen3vl/activation/swiglu.hpp>
#include <qwen3vl/attention/flash.hpp>
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/ffn/gated.hpp>
#include <qwen3vl/fusion/deepstack.hpp>
#include <qwen3vl/fusion/plan.hpp>
#include <qwen3vl/fusion/scratch.hpp>
#include <qwen3vl/fusion/seeing_rows.hpp>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/mask/full.hpp>
#include <qwen3vl/norm/rms_norm.hpp>
#include <qwen3vl/ops/heads.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Places of the visual tokens beside cross-attention.
namespace pictures {
/// In the sequence, joined to it by another fusion policy.
template <class Joined = DeepStack>
struct Inside : Joined {
    static constexpr std::int64_t visual_capacity(std::int64_t context) { return context; }
};
/// Outside of the sequence: one pad token stands for a picture or frame pair, whose rows cross-attention alone brings
/// in. A sequence keeps keys of at most `Kept` rows of features.
template <Tokens Kept = Tokens{4096}>
struct Outside {
    static_assert(Kept.n > 0, "qwen3vl: slot fusion: pictures::Outside keeps at least one visual token");
    static constexpr int stand_in = 1;  ///< pad tokens of a picture or frame pair
    static constexpr std::int64_t visual_capacity(std::int64_t /*context*/) { return Kept.n; }
    static constexpr bool ends(const ModelDims& /*dims*/, int /*layer*/) { return true; }
    static constexpr bool embeds = false;
    static constexpr bool adds_before(int /*layer*/) { return false; }
    static constexpr bool adds_after(const ModelDims& /*dims*/, int /*layer*/) { return false; }
    template <class Weights, class Pass, class Gate = NoGate>
    static void embed(const Pass& /*pass*/, const Gate& /*gate*/ = {}) {}
};
}  // namespace pictures

/// Gated cross-attention to the pictures before a token (Alayrac et al., 2022, "Flamingo", section 2.2), before the
/// decoder layers that a plan names:
///
///     x += tanh(gate) * o(attention(q(norm(x)), k(v), v(v)))
///     x += tanh(ffn_gate) * down(activation(gate(ffn_norm(x)), up(ffn_norm(x))))
///
/// where v are the mergers' rows of all pictures that end before the token. A token without any stays as it is, and so
/// does the stream where a gate is zero. Heads, groups and head_dim are the decoder's; queries and keys are normed by
/// head as there, and not rotated. Keys and values are computed once a picture. Attention is an algorithm of the
/// library over mask::Full, Codec one of kv_cache.
///     Policies<>::with_fusion<fusion::CrossAttention<fusion::pictures::Outside<>>>
template <class Pictures = pictures::Inside<>, CrossLayers Plan = CrossLayers{},
          class Attention = attention::Flash<mask::Full>, class Codec = kv_cache::Bf16, class Norm = norm::RMSNorm,
          class Activation = activation::SwiGLU>
struct CrossAttention : Pictures {
    static constexpr const char* name = "CrossAttention";
    static_assert(Plan.every > 0 && Plan.first >= 0, "qwen3vl: slot fusion: CrossLayers has every > 0 and first >= 0");
    static_assert(
        std::is_same_v<typename Attention::mask, mask::Full>,
        "qwen3vl: slot fusion: CrossAttention takes an algorithm over mask::Full; it shows a token the pictures "
        "before it itself");
    using Cache = kv_cache::Contiguous<Codec>;  ///< keys and values of the pictures
    using Ends = CrossAttention;
    static constexpr bool adds_before(int layer) { return Plan.contains(layer); }

    /// Parameters of one cross-attention, by name under `fusion.layers.N.`, N being the decoder layer behind it.
    template <class M, class V>
    struct Layer {
        NormParameters<V> norm, ffn_norm;  ///< [hidden]
        M q{}, k{}, v{}, o{};              ///< [q_dim, hidden], [kv_dim, hidden] twice, [hidden, q_dim]
        V q_norm{}, k_norm{};              ///< [head_dim]
        V gate{}, ffn_gate{};              ///< [1]
        M ffn_gate_proj{}, up{}, down{};   ///< [ffn, hidden] twice, [hidden, ffn]
    };
    template <class M, class V>
    struct Parameters {
        std::vector<Layer<M, V>> layers;  ///< by cross-attention, in order
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& dims, P& p, F&& f) {
        const TextDims& d = dims.text;
        if constexpr (!std::is_const_v<P>) p.layers.resize(static_cast<std::size_t>(Plan.count(d.layers)));
        for (std::size_t i = 0; i < p.layers.size(); ++i) {
            auto& w = p.layers[i];
            const int layer = Plan.layer(static_cast<int>(i));
            const std::string root = "fusion.layers." + std::to_string(layer) + ".";
            visit_norm<Norm::has_bias>(w.norm, root + "norm", d.hidden, f);
            f(root + "q_proj.weight", Shape{d.q_dim(), d.hidden}, w.q, layer);
            f(root + "k_proj.weight", Shape{d.kv_dim(), d.hidden}, w.k, layer);
            f(root + "v_proj.weight", Shape{d.kv_dim(), d.hidden}, w.v, layer);
            f(root + "q_norm.weight", Shape{d.head_dim}, w.q_norm);
            f(root + "k_norm.weight", Shape{d.head_dim}, w.k_norm);
            f(root + "o_proj.weight", Shape{d.hidden, d.q_dim()}, w.o, layer);
            f(root + "gate", Shape{1}, w.gate);
            visit_norm<Norm::has_bias>(w.ffn_norm, root + "ffn_norm", d.hidden, f);
            f(root + "mlp.gate_proj.weight", Shape{d.ffn, d.hidden}, w.ffn_gate_proj, layer);
            f(root + "mlp.up_proj.weight", Shape{d.ffn, d.hidden}, w.up, layer);
            f(root + "mlp.down_proj.weight", Shape{d.hidden, d.ffn}, w.down, layer);
            f(root + "ffn_gate", Shape{1}, w.ffn_gate);
        }
    }

    /// Keys and values of a sequence's pictures, one behind another, for each cross-attention.
    class State {
      public:
        static constexpr bool can_rewind = true, can_save = true;
        static constexpr const char* layout = Codec::name;  ///< a saved sequence of another codec is refused
        static std::int64_t bytes(const ModelDims& d, std::int64_t context) {
            return Plan.count(d.text.layers) * Cache::bytes(extent(d.text, context));
        }
        State(const ModelDims& d, std::int64_t context, std::byte* memory)
            : memory_(memory), extent_(extent(d.text, context)), layers_(Plan.count(d.text.layers)) {}
        /// Keys and values of cross-attention number `index`.
        typename Cache::Layer layer(int index) const { return {memory_ + index * Cache::bytes(extent_), extent_}; }
        void rewind(std::int64_t /*tokens*/) {}  // keys of later pictures are written again before they are read
        void copy(const State& other, const SavedExtent& used) {
            for (int i = 0; i < layers_; ++i) {
                std::vector<std::span<std::byte>> pieces;
                auto from = other.layer(i), to = layer(i);
                from.for_each_piece(used.visual_tokens, [&](std::span<std::byte> piece) { pieces.push_back(piece); });
                auto piece = pieces.begin();
                to.for_each_piece(used.visual_tokens, [&](std::span<std::byte> out) {
                    std::copy(piece->begin(), piece->end(), out.begin());
                    ++piece;
                });
            }
        }
        static std::int64_t saved_bytes(const ModelDims& d, const SavedExtent& saved) {
            return Plan.count(d.text.layers) * Cache::saved_bytes(extent(d.text, saved.tokens), saved.visual_tokens);
        }
        template <class F>
        void for_each_piece(const SavedExtent& saved, F&& f) {
            for (int i = 0; i < layers_; ++i) layer(i).for_each_piece(saved.visual_tokens, f);
        }

      private:
        static kv_cache::Extent extent(const TextDims& d, std::int64_t context) {
            return {.kv_heads = d.kv_heads,
                    .channels = kv_cache::padded_channels(d.head_dim),
                    .tokens = Pictures::visual_capacity(context)};
        }
        std::byte* memory_;
        kv_cache::Extent extent_;
        int layers_;
    };

    /// Floats of scratch: angles of no rotation, factors of the rows, their stream, and attention's.
    static std::int64_t scratch_floats(const ModelDims& dims, int threads, std::int64_t rows, std::int64_t context) {
        const TextDims& d = dims.text;
        return Scratch(d, rows, nullptr).floats +
               attention::scratch_floats<Attention>(threads, d.kv_heads, d.group(),
                                                    kv_cache::padded_channels(d.head_dim),
                                                    Pictures::visual_capacity(context));
    }

    template <class Weights, class Pass, class Gate = NoGate>
    static void before_layer(const Pass& pass, int layer, const Gate& gate = {}) {
        static_assert(
            !requires { Pictures::template before_layer<Weights>(pass, layer); },
            "qwen3vl: slot fusion: CrossAttention stands before layers itself; the policy of "
            "pictures::Inside may not");
        if (!Plan.contains(layer)) return;
        const int index = Plan.index(layer);
        const auto& w = pass.parameters.layers[static_cast<std::size_t>(index)];
        const Scratch scratch(pass.dims.text, pass.activations.x.rows, pass.scratch);
        scratch.begin(pass.ops, pass.dims.text.head_dim);
        store_keys<Weights>(pass, w, index, scratch);
        add<Weights>(pass, w, index, scratch, gate);
    }

  private:
    /// Parts of the policy's scratch.
    struct Scratch {
        std::int64_t floats = 0;
        Matrix cosines, sines;  ///< one row, which stands for all
        float* factors;         ///< [rows]
        Matrix x;               ///< [rows, hidden] rows of the stream that see a picture
        float* attention;
        Scratch(const TextDims& d, std::int64_t rows, float* memory) {
            ScratchParts parts(memory);
            cosines = Matrix(parts.take(d.head_dim / 2), rows, d.head_dim / 2, 0);
            sines = Matrix(parts.take(d.head_dim / 2), rows, d.head_dim / 2, 0);
            factors = parts.take(rows);
            x = parts.matrix(rows, d.hidden);
            attention = parts.rest();
            floats = parts.floats();
        }
        template <class Ops>
        void begin(const Ops& ops, std::int64_t head_dim) const {
            ops.write_rows(cosines.first(1), [&](std::int64_t, float* row) { std::fill_n(row, head_dim / 2, 1.0f); });
            ops.write_rows(sines.first(1), [&](std::int64_t, float* row) { std::fill_n(row, head_dim / 2, 0.0f); });
        }
        /// The first `n` factors: tanh(gate), times those of the rows where there are any.
        template <class Ops>
        const float* gated(const Ops& ops, float gate, const float* of_rows, std::int64_t n) const {
            ops.write_rows(Matrix(factors, 1, n), [&](std::int64_t, float* row) {
                for (std::int64_t r = 0; r < n; ++r) row[r] = std::tanh(gate) * (of_rows ? of_rows[r] : 1.0f);
            });
            return factors;
        }
    };
    template <class Pass, class W>
    static auto heads_of(const Pass& pass, const W& w, const Scratch& scratch, const Matrix& rows, int heads) {
        const TextDims& d = pass.dims.text;
        return ops::HeadRows<HostSpace>{.qkv = rows,
                                        .heads = heads,
                                        .kv_heads = d.kv_heads,
                                        .head_dim = d.head_dim,
                                        .channels = kv_cache::padded_channels(d.head_dim),
                                        .cosines = scratch.cosines.first(rows.rows),
                                        .sines = scratch.sines.first(rows.rows),
                                        .q_norm = &w.q_norm,
                                        .k_norm = &w.k_norm,
                                        .epsilon = d.norm_eps};
    }
    using Chunk = ops::HeadChunk<typename Cache::Layer, HostSpace>;

    /// Computes keys and values of the pictures whose first token is among the rows.
    template <class Weights, class Pass, class W>
    static void store_keys(const Pass& pass, const W& w, int index, const Scratch& scratch) {
        const TextDims& d = pass.dims.text;
        const auto& a = pass.activations;
        for (const auto& s : pass.sequences) {
            std::int64_t key = 0;
            auto cache = s.state->layer(index);
            s.while_pictures([&](const SequencePicture& p) {
                if (p.first >= s.first + s.count) return false;
                for (std::int64_t i = 0; p.first >= s.first && i < p.features; i += a.x.rows) {
                    const std::int64_t n = std::min(a.x.rows, p.features - i);
                    const weights::PackedActivations features{a.input, n, d.hidden};
                    const Matrix keys(a.qkv.data, n, 2 * d.kv_dim(), a.qkv.stride);
                    pass.ops.template pack<Weights>(
                        {p.pending->embedding_row(p.feature_row + i), n, d.hidden, p.pending->width}, features);
                    pass.ops.template project<Weights>(features, std::array{&w.k, &w.v}, keys);
                    const Chunk chunk{.cache = &cache, .count = n, .first = key + i, .tokens = n};
                    pass.ops.template rotate_and_store<Norm, true>(heads_of(pass, w, scratch, keys, 0),
                                                                   std::span(&chunk, 1));
                }
                key += p.features;
                return true;
            });
        }
    }

    /// Adds cross-attention and its feed-forward layer to the rows that see a picture.
    template <class Weights, class Pass, class W, class Gate>
    static void add(const Pass& pass, const W& w, int index, const Scratch& scratch,
                    [[maybe_unused]] const Gate& gate) {
        const TextDims& d = pass.dims.text;
        const auto& a = pass.activations;
        const auto& ops = pass.ops;
        const SeeingStream<Pass> stream(pass, scratch.x);
        const Matrix& x = stream.x();
        const std::int64_t n = x.rows;
        if (n == 0) return;
        const weights::PackedActivations normed{a.input, n, d.hidden}, mixed{a.input, n, d.q_dim()},
            inner{a.inner, n, d.ffn};
        const float* of_rows = nullptr;
        if constexpr (!std::is_same_v<Gate, NoGate>) of_rows = gate(ops, x);
        if (w.gate[0] != 0.0f) {
            const Matrix queries(a.qkv.data, n, d.q_dim(), a.qkv.stride), attended = a.attended.first(n);
            ops.template normalise<Norm, Weights>(x, w.norm, d.norm_eps, normed);
            ops.template project<Weights>(normed, std::array{&w.q}, queries);
            std::int64_t at = 0;
            for_each_seeing(pass, [&](const auto& part) {
                auto cache = part.sequence->state->layer(index);
                const Chunk chunk{.cache = &cache, .count = part.count, .queries = a.queries, .tokens = part.count};
                const auto heads = heads_of(pass, w, scratch, queries.from(at).first(part.count), d.heads);
                ops.template rotate_and_store<Norm, false>(heads, std::span(&chunk, 1));
                ops.template attend_all<Attention>(heads, chunk, part.features, attended.from(at), scratch.attention);
                at += part.count;
            });
            ops.template pack<Weights>(attended, mixed);
            ops.template add_scaled<Weights>(mixed, w.o, scratch.gated(ops, w.gate[0], of_rows, n), x);
        }
        if (w.ffn_gate[0] != 0.0f) {
            ops.template normalise<Norm, Weights>(x, w.ffn_norm, d.norm_eps, normed);
            ops.template gated<Weights, Activation>(normed, w.ffn_gate_proj, w.up, inner);
            ops.template add_scaled<Weights>(inner, w.down, scratch.gated(ops, w.ffn_gate[0], of_rows, n), x);
        }
        stream.finish();
    }
};

}  // namespace qwen3vl::fusion
