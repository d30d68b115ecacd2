#pragma once
#include <array>
#include <qwen3vl/core/activations.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/rank.hpp>
#include <qwen3vl/fusion/deepstack.hpp>
#include <qwen3vl/fusion/plan.hpp>
#include <qwen3vl/fusion/scratch.hpp>
#include <qwen3vl/fusion/seeing_rows.hpp>
#include <qwen3vl/norm/rms_norm.hpp>
#include <qwen3vl/weights/matrix.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Decompositions of the tensor that joins a text row and the pictures' pooled features.
enum class TensorRank {
    cp,     ///< a sum of R products: h = a * b, element by element
    tucker  ///< with a core [R, R, R]: h_t = sum over i and j of core[t, i, j] a_i b_j
};

/// Tensor fusion of a text row with the pooled features of the pictures before it, by a decomposition of low rank (Liu
/// et al., 2018, "Low-rank multimodal fusion", equations 4 to 6; Ben-Younes et al., 2017, "MUTAN", equation 5), before
/// the decoder layers that a plan names:
///
///     a = text(norm(x)) + text_bias        [R]
///     b = mean over the pictures of visual(mean of the picture's rows), + visual_bias
///     x += out(h(a, b))
///
/// Both papers' constant 1 behind each modality is the two biases. A token without a picture before it stays as it is;
/// `out` of zeros gives the bits of Inner. A picture's b is computed once.
///     Policies<>::with_fusion<fusion::Bilinear<Rank{32}>>
template <Rank R, TensorRank Kind = TensorRank::cp, CrossLayers Plan = CrossLayers{}, class Inner = DeepStack,
          class Norm = norm::RMSNorm>
struct Bilinear : Inner {
    static constexpr const char* name = Kind == TensorRank::cp ? "Bilinear" : "BilinearTucker";
    static constexpr std::int64_t rank = R.n;  ///< numbers of a joined row
    static_assert(rank > 0 && Plan.every > 0 && Plan.first >= 0,
                  "qwen3vl: slot fusion: Bilinear has a Rank above 0 and CrossLayers with every > 0 and first >= 0");
    static_assert(!BringsParameters<Inner> && !KeepsState<Inner>,
                  "qwen3vl: slot fusion: Bilinear stands beside a policy without parameters of its own, as DeepStack");
    using Ends = Bilinear;
    static constexpr bool adds_before(int layer) { return Plan.contains(layer); }

    /// Parameters of one layer, by name under `fusion.bilinear.N.`.
    template <class M, class V>
    struct Layer {
        NormParameters<V> norm;        ///< [hidden]
        M text{}, visual{}, out{};     ///< [R, hidden] twice, [hidden, R]
        V text_bias{}, visual_bias{};  ///< [R]
        V core{};                      ///< [R, R, R] where the kind is tucker
    };
    template <class M, class V>
    struct Parameters {
        std::vector<Layer<M, V>> layers;  ///< by layer of the plan
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& dims, P& p, F&& f) {
        const std::int64_t hidden = dims.text.hidden;
        if constexpr (!std::is_const_v<P>) p.layers.resize(static_cast<std::size_t>(Plan.count(dims.text.layers)));
        for (std::size_t i = 0; i < p.layers.size(); ++i) {
            auto& w = p.layers[i];
            const int layer = Plan.layer(static_cast<int>(i));
            const std::string root = "fusion.bilinear." + std::to_string(layer) + ".";
            visit_norm<Norm::has_bias>(w.norm, root + "norm", hidden, f);
            f(root + "text.weight", Shape{rank, hidden}, w.text, layer);
            f(root + "text.bias", Shape{rank}, w.text_bias);
            f(root + "visual.weight", Shape{rank, hidden}, w.visual, layer);
            f(root + "visual.bias", Shape{rank}, w.visual_bias);
            if constexpr (Kind == TensorRank::tucker) f(root + "core.weight", Shape{rank, rank, rank}, w.core);
            f(root + "out.weight", Shape{hidden, rank}, w.out, layer);
        }
    }

    /// Projected features of a sequence's pictures: [layers of the plan, pictures, R].
    class State {
      public:
        static constexpr bool can_rewind = true, can_save = true;
        static std::int64_t bytes(const ModelDims& d, std::int64_t context) {
            return Plan.count(d.text.layers) * context * rank * static_cast<std::int64_t>(sizeof(float));
        }
        State(const ModelDims& d, std::int64_t context, std::byte* memory)
            : rows_(reinterpret_cast<float*>(memory)), context_(context), layers_(Plan.count(d.text.layers)) {}
        /// Row [R] of a picture, of which a sequence has no more than tokens.
        float* row(int index, std::size_t picture) const {
            return rows_ + (index * context_ + static_cast<std::int64_t>(picture)) * rank;
        }
        void rewind(std::int64_t /*tokens*/) {}  // later rows are written again before they are read
        void copy(const State& other, const SavedExtent& used) {
            for (int i = 0; i < layers_; ++i) std::copy_n(other.row(i, 0), used.pictures * rank, row(i, 0));
        }
        static std::int64_t saved_bytes(const ModelDims& d, const SavedExtent& saved) {
            return bytes(d, saved.pictures);
        }
        template <class F>
        void for_each_piece(const SavedExtent& saved, F&& f) {
            for (int i = 0; i < layers_; ++i)
                f(std::as_writable_bytes(std::span(row(i, 0), static_cast<std::size_t>(saved.pictures * rank))));
        }

      private:
        float* rows_;
        std::int64_t context_;
        int layers_;
    };

    static std::int64_t scratch_floats(const ModelDims& dims, int /*threads*/, std::int64_t rows,
                                       std::int64_t /*context*/) {
        if (rank > dims.text.ffn)
            throw ConfigError("fusion::Bilinear: expected a rank of at most ffn = " + std::to_string(dims.text.ffn) +
                              ", found " + std::to_string(rank));
        return Scratch(dims.text.hidden, rows, nullptr).floats;
    }

    template <class Weights, class Pass, class Gate = NoGate>
    static void before_layer(const Pass& pass, int layer, [[maybe_unused]] const Gate& gate = {}) {
        if (!Plan.contains(layer)) return;
        const int index = Plan.index(layer);
        const auto& w = pass.parameters.layers[static_cast<std::size_t>(index)];
        const Scratch scratch(pass.dims.text.hidden, pass.activations.x.rows, pass.scratch);
        store_pictures<Weights>(pass, w, index, scratch);

        const SeeingStream<Pass> stream(pass, scratch.x);
        const std::int64_t n = stream.x().rows, hidden = pass.dims.text.hidden;
        if (n == 0) return;
        const weights::PackedActivations normed{pass.activations.input, n, hidden},
            joined{pass.activations.inner, n, rank};
        const Matrix a = scratch.a.first(n), h = scratch.h.first(n);
        const auto& ops = pass.ops;
        ops.template normalise<Norm, Weights>(stream.x(), w.norm, pass.dims.text.norm_eps, normed);
        ops.template store<Weights>(normed, w.text, &w.text_bias, a);
        std::int64_t at = 0;
        for_each_seeing(pass, [&](const auto& part) {
            mean_of(*part.sequence->state, index, part.pictures, w.visual_bias, scratch.b);
            join(w.core, a.from(at).first(part.count), scratch, h.from(at).first(part.count));
            at += part.count;
        });
        ops.template pack<Weights>(h, joined);
        if constexpr (std::is_same_v<Gate, NoGate>)
            ops.template add<Weights>(joined, w.out, nullptr, stream.x());
        else
            ops.template add_scaled<Weights>(joined, w.out, gate(ops, stream.x()), stream.x());
        stream.finish();
    }

  private:
    /// Parts of the policy's scratch.
    struct Scratch {
        std::int64_t floats = 0;
        Matrix x;     ///< [rows, hidden] rows of the stream that see a picture
        Matrix a, h;  ///< [rows, R]
        float* mean;  ///< [hidden] a picture's mean row
        float* b;     ///< [R]
        float* core;  ///< [R, R] the core times b
        Scratch(std::int64_t hidden, std::int64_t rows, float* memory) {
            ScratchParts parts(memory);
            x = parts.matrix(rows, hidden);
            a = parts.matrix(rows, rank);
            h = parts.matrix(rows, rank);
            mean = parts.take(hidden);
            b = parts.take(rank);
            core = parts.take(Kind == TensorRank::tucker ? rank * rank : 0);
            floats = parts.floats();
        }
    };

    /// Projects the pictures whose first token is among the rows.
    template <class Weights, class Pass, class W>
    static void store_pictures(const Pass& pass, const W& w, int index, const Scratch& scratch) {
        const std::int64_t hidden = pass.dims.text.hidden;
        for (const auto& s : pass.sequences) {
            std::size_t seen = 0;
            s.while_pictures([&](const SequencePicture& p) {
                if (p.first >= s.first + s.count) return false;
                const std::size_t picture = seen++;
                if (p.first < s.first) return true;
                const Matrix mean(scratch.mean, 1, hidden);
                pass.ops.write_rows(mean, [&](std::int64_t, float* row) {
                    constexpr std::int64_t step = 16;
                    for (std::int64_t c = 0; c < hidden; c += step) {
                        const std::int64_t n = std::min(step, hidden - c);
                        std::array<double, step> sums{};
                        for (std::int64_t t = 0; t < p.features; ++t) {
                            const float* values = p.pending->embedding_row(p.feature_row + t) + c;
                            for (std::int64_t k = 0; k < n; ++k)
                                sums[static_cast<std::size_t>(k)] += static_cast<double>(values[k]);
                        }
                        for (std::int64_t k = 0; k < n; ++k)
                            row[c + k] =
                                static_cast<float>(sums[static_cast<std::size_t>(k)] / static_cast<double>(p.features));
                    }
                });
                const weights::PackedActivations packed{pass.activations.input, 1, hidden};
                pass.ops.template pack<Weights>(mean, packed);
                pass.ops.template store<Weights>(packed, w.visual, nullptr,
                                                 Matrix(s.state->row(index, picture), 1, rank));
                return true;
            });
        }
    }
    /// b = the mean of the first `pictures` rows, and the bias.
    static void mean_of(const State& state, int index, std::size_t pictures, const std::vector<float>& bias, float* b) {
        for (std::int64_t r = 0; r < rank; ++r) {
            float sum = 0;
            for (std::size_t i = 0; i < pictures; ++i) sum += state.row(index, i)[r];
            b[r] = sum / static_cast<float>(pictures) + bias[static_cast<std::size_t>(r)];
        }
    }
    /// h = a and scratch.b joined, row by row.
    static void join([[maybe_unused]] const std::vector<float>& core, ConstMatrix a, const Scratch& scratch,
                     const Matrix& h) {
        if constexpr (Kind == TensorRank::cp) {
            for (std::int64_t r = 0; r < a.rows; ++r)
                for (std::int64_t t = 0; t < rank; ++t) h.row(r)[t] = a.row(r)[t] * scratch.b[t];
        } else {
            for (std::int64_t i = 0; i < rank * rank; ++i) {
                float sum = 0;
                for (std::int64_t j = 0; j < rank; ++j)
                    sum += core[static_cast<std::size_t>(i * rank + j)] * scratch.b[j];
                scratch.core[i] = sum;
            }
            for (std::int64_t r = 0; r < a.rows; ++r)
                for (std::int64_t t = 0; t < rank; ++t) {
                    float sum = 0;
                    for (std::int64_t i = 0; i < rank; ++i) sum += scratch.core[t * rank + i] * a.row(r)[i];
                    h.row(r)[t] = sum;
                }
        }
    }
};

}  // namespace qwen3vl::fusion
