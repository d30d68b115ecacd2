#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/hooks.hpp>
#include <qwen3vl/core/layers.hpp>
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/mask/over_grid.hpp>
#include <qwen3vl/norm/rows.hpp>
#include <qwen3vl/position/rotary.hpp>
#include <qwen3vl/vision/parameters.hpp>
#include <qwen3vl/vision/patch_order.hpp>
#include <qwen3vl/weights/linear.hpp>
#include <utility>

/// The vision tower (`Qwen3VLVisionModel`, modeling_qwen3_vl.py): patches of one picture or clip in, visual tokens out.
namespace qwen3vl::inline QWEN3VL_ABI::vision {

/// Patches that pass a dense layer at once: bounds the memory of the widest activation.
inline constexpr std::int64_t pass_patches = 1024;

/// Keys and values of a frame pair.
using KeyStore = kv_cache::Contiguous<kv_cache::Float32>;

/// A picture's activations and their sizes. Memory grows linearly with its patches.
struct Extents {
    std::int64_t patches, span, channels, tokens;  ///< span: patches of one frame pair, which attend to each other
    Extents(const VisionDims& d, const Grid& g)
        : patches(g.patches()), span(std::int64_t{g.h} * g.w), channels(kv_cache::padded_channels(d.head_dim())), tokens(g.merged(d.merge)) {}
    std::int64_t pass() const { return std::min(patches, pass_patches); }
    std::int64_t head_floats(const VisionDims& d) const { return d.heads * span * channels; }
    kv_cache::Extent keys(const VisionDims& d) const { return {d.heads, channels, span, 0, 0}; }
    std::int64_t key_floats(const VisionDims& d) const { return KeyStore::bytes(keys(d)) / static_cast<std::int64_t>(sizeof(float)); }
};

/// The policies the tower is made of, so that bundles with the same ones share its code. Attention may be a plan by block.
template <class A, class N, class Act, class MergerAct, class Pos, class W>
struct Slots {
    using Attention = A;
    using Norm = N;
    using Activation = Act;
    using MergerActivation = MergerAct;
    using Position = Pos;
    using Weights = W;
};

/// Floats for activations on their way through the dense layers, part by part.
template <class Arch, class P>
struct DenseFloats {
    std::int64_t qkv, input, inner, row;
    DenseFloats(const VisionDims& d, const Extents& e) {
        const auto encoded = [&](std::int64_t columns) {
            return ceil_div(weights::traits<typename P::Weights>::template input_bytes<Arch>(e.pass(), columns), static_cast<std::int64_t>(sizeof(float)));
        };
        qkv = e.pass() * 3 * d.hidden;
        input = std::max({encoded(d.patch_values()), encoded(d.hidden), encoded(d.merged())});
        inner = std::max(encoded(d.ffn), encoded(d.merged()));
        row = std::max(round_up(d.merged(), 16), 2 * e.channels);
    }
};

/// Floats of scratch for attention in any block.
template <class Plan>
std::int64_t attention_floats(const VisionDims& d, const Extents& e, int threads) {
    std::int64_t floats = 0;
    for_each_type<typename plan<Plan>::types>(
        [&]<class A>(A) { floats = std::max(floats, attention::scratch_floats<typename A::type>(threads, d.heads, 1, e.channels, e.span)); });
    return floats;
}

/// Floats that encoding a picture of this grid needs beside the weights, the features themselves not counted.
template <class Arch, class P>
std::int64_t workspace_floats(const VisionDims& d, const Grid& g, int threads) {
    const Extents e(d, g);
    const DenseFloats<Arch, P> dense(d, e);
    const std::int64_t stream = 2 * e.patches * d.hidden, heads = e.head_floats(d) + e.key_floats(d), angles = e.span * d.head_dim();
    return stream + heads + angles + dense.qkv + dense.input + dense.inner + threads * dense.row + attention_floats<typename P::Attention>(d, e, threads) +
           16 * 16;
}

/// For weights that are always in memory. Where they are not, something else in its place sees to it that a stage's weights are, for as long as what it
/// returns lives.
struct AlwaysHeld {
    constexpr AlwaysHeld operator()(int) const { return {}; }
};

/// One encoding: the buffers, and the steps in their order. P is Slots<…>.
template <class Arch, class P, class Team, class Hold = AlwaysHeld>
class Encoder {
    using Norm = typename P::Norm;
    using Format = typename P::Weights;
    using Weights = Parameters<weights::WeightMatrix, std::vector<float>>;
    using Merger = MergerParameters<weights::WeightMatrix, std::vector<float>>;

  public:
    Encoder(const VisionDims& d, const Weights& w, const Grid& grid, Team& team, const TensorHook& hook, const Hold& hold = {})
        : d_(d),
          w_(w),
          grid_(grid),
          e_(d, grid),
          team_(team),
          hook_(hook),
          hold_(hold),
          memory_(aligned_floats(static_cast<std::size_t>(workspace_floats<Arch, P>(d, grid, team.threads())))),
          keys_(reinterpret_cast<std::byte*>(memory_.get()), e_.keys(d)) {
        float* next = memory_.get();
        const auto take = [&](std::int64_t n) { return std::exchange(next, next + round_up(n, 16)); };
        std::fill_n(take(e_.key_floats(d)), e_.key_floats(d), 0.0f);
        x_ = {take(e_.patches * d.hidden), e_.patches, d.hidden};
        attended_ = {take(e_.patches * d.hidden), e_.patches, d.hidden};
        queries_ = take(e_.head_floats(d));
        cosines_ = {take(e_.span * d.head_dim() / 2), e_.span, d.head_dim() / 2};
        sines_ = {take(e_.span * d.head_dim() / 2), e_.span, d.head_dim() / 2};
        const DenseFloats<Arch, P> dense(d, e_);
        qkv_ = take(dense.qkv);
        input_ = reinterpret_cast<std::byte*>(take(dense.input));
        inner_ = reinterpret_cast<std::byte*>(take(dense.inner));
        rows_ = take(team.threads() * dense.row);
        scratch_ = next;
        std::fill_n(queries_, e_.head_floats(d), 0.0f);  // padded channels stay zero
        fill_angles();
    }

    /// `values` [grid.patches(), patch_values]. Reports progress block by block.
    VisualFeatures run(const float* values, const ProgressCallback& progress) {
        embed(values);
        VisualFeatures out{.grid = grid_, .merge = d_.merge, .width = d_.out, .embedding = {}, .deepstack = {}};
        for (int i = 0; i < d_.depth; ++i) {
            report(progress, "image", i, d_.depth);
            block(i);
            see("vision.block", i, x_);
            for (std::size_t level = 0; level < static_cast<std::size_t>(d_.deepstack_count); ++level)
                if (d_.deepstack[level] == i) {
                    out.deepstack.push_back(merge<true>(deepstack_stage(d_, level), w_.deepstack[level]));
                    see("vision.deepstack", static_cast<int>(level), features(out.deepstack.back()));
                }
        }
        out.embedding = merge<false>(merger_stage(d_), w_.merger);
        see("vision.merger", 0, features(out.embedding));
        report(progress, "image", d_.depth, d_.depth);
        return out;
    }

  private:
    void see(std::string_view name, int index, ConstMatrix rows) const {
        if (hook_) hook_(name, index, rows);
    }
    ConstMatrix features(const std::vector<float>& v) const { return {v.data(), e_.tokens, d_.out, d_.out}; }
    /// f(first patch, count) over parts that fit the buffers of the dense layers.
    template <class F>
    void in_passes(std::int64_t rows, F&& f) const {
        for (std::int64_t i = 0; i < rows; i += pass_patches) f(i, std::min(pass_patches, rows - i));
    }

    void fill_angles() {
        using Rotary = typename P::Position::rotary;
        const auto frequencies = position::frequencies<Rotary>(d_, d_.head_dim());
        for_each_patch(grid_.h, grid_.w, d_.merge, [&](std::int64_t i, int row, int column) {
            position::angles<Rotary>(d_, frequencies, std::array{row, column}, cosines_.row(i), sines_.row(i));
        });
    }

    void embed_patches(const float* values) {
        [[maybe_unused]] const auto held = hold_(0);
        const std::int64_t n = d_.patch_values();
        in_passes(e_.patches, [&](std::int64_t first, std::int64_t count) {
            const weights::Input in{input_, count, n};
            weights::encode_rows<Arch, Format>(team_, {values + first * n, count, n, n}, in);
            weights::linear_store<Arch, Format>(team_, in, w_.patch_embed, w_.patch_embed_bias.data(), Matrix(x_.row(first), count, d_.hidden));
        });
    }
    void embed(const float* values) {
        embed_patches(values);
        see("vision.patch_embed", 0, x_);
        using Table = typename P::Position::table;
        for_each_patch(grid_.h, grid_.w, d_.merge, [&](std::int64_t i, int y, int x) {
            const auto v = Table::sample(y, grid_.h, d_.side()), u = Table::sample(x, grid_.w, d_.side());
            const auto add = [&](int r, int c, float weight) {
                const float* row = w_.positions.data() + (std::int64_t{r} * d_.side() + c) * d_.hidden;
                for (std::int64_t t = 0; t < grid_.t; ++t) {
                    float* out = x_.row(t * e_.span + i);
                    for (std::int64_t k = 0; k < d_.hidden; ++k) out[k] += weight * row[k];
                }
            };
            add(v.low, u.low, (1.0f - v.weight) * (1.0f - u.weight));
            add(v.low, u.high, (1.0f - v.weight) * u.weight);
            add(v.high, u.low, v.weight * (1.0f - u.weight));
            add(v.high, u.high, v.weight * u.weight);
        });
    }

    void block(int i) {
        [[maybe_unused]] const auto held = hold_(block_stage(d_, i));
        const auto& w = w_.blocks[static_cast<std::size_t>(i)];
        const auto with_attention = [&](auto&& f) { with_policy<typename P::Attention>(static_cast<std::size_t>(i), f); };
        with_attention([&]<class A>(A) {
            for (std::int64_t t = 0; t < grid_.t; ++t) attend<typename A::type>(w, t * e_.span);
        });
        in_passes(e_.patches, [&](std::int64_t first, std::int64_t count) {
            const weights::Input in{input_, count, d_.hidden}, inner{inner_, count, d_.ffn};
            const Matrix x(x_.row(first), count, d_.hidden);
            with_attention([&]<class A>(A) { encode_attended<typename A::type::mask>(first, in); });
            weights::linear_add<Arch, Format>(team_, in, w.proj, w.proj_bias.data(), x);
            normalise(x, w.norm2, in);
            activated<typename P::Activation>(in, w.fc1, w.fc1_bias, inner);
            weights::linear_add<Arch, Format>(team_, inner, w.fc2, w.fc2_bias.data(), x);
        });
    }

    /// Attention within one frame pair: patches [first, first + span), to attended_ in the order of its mask.
    template <class Attention, class Block>
    void attend(const Block& w, std::int64_t first) {
        const auto visible = mask::over_grid<typename Attention::mask>(grid_, d_.merge);
        const std::int64_t head_dim = d_.head_dim();
        const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
        in_passes(e_.span, [&](std::int64_t begin, std::int64_t count) {
            const Matrix qkv(qkv_, count, 3 * d_.hidden);
            const weights::Input in{input_, count, d_.hidden};
            normalise(Matrix(x_.row(first + begin), count, d_.hidden), w.norm1, in);
            weights::linear_store<Arch, Format>(team_, in, w.qkv, w.qkv_bias.data(), qkv);
            constexpr std::int64_t tile = kv_cache::tile_keys;  // its keys share cache lines: one task writes them all, where the mask leaves their order
            team_.run(ceil_div(count, tile), [&](std::int64_t task, int thread) {
                float* key = rows_ + thread * 2 * e_.channels;
                float* value = key + e_.channels;
                std::fill_n(key, 2 * e_.channels, 0.0f);
                const std::int64_t from = task * tile, to = std::min(count, from + tile);
                std::array<std::int64_t, tile> place;
                for (std::int64_t i = from; i < to; ++i) place[static_cast<std::size_t>(i - from)] = mask::order(visible, begin + i);
                for (std::int64_t h = 0; h < d_.heads; ++h)
                    for (std::int64_t i = from; i < to; ++i) {
                        const float *q = qkv.row(i) + h * head_dim, *cosines = cosines_.row(begin + i), *sines = sines_.row(begin + i);
                        const std::int64_t at = place[static_cast<std::size_t>(i - from)];
                        float* query = queries_ + (h * e_.span + at) * e_.channels;
                        kernels::rotate_row<Arch>(q, cosines, sines, head_dim / 2, query);
                        kernels::scale_row<Arch>(scale, head_dim, query);
                        kernels::rotate_row<Arch>(q + d_.hidden, cosines, sines, head_dim / 2, key);
                        std::copy_n(q + 2 * d_.hidden, head_dim, value);
                        keys_.template write<Arch>(h, at, key, value);
                    }
            });
        });
        const attention::Heads heads{queries_, e_.span, d_.heads, 1, e_.channels, head_dim, 0, e_.span, attended_.row(first), attended_.stride};
        attention::attend<Arch, Attention>(
            team_, heads, [&](std::int64_t head, std::int64_t index) { return keys_.tile(head, index, e_.span); }, scratch_, visible);
    }
    /// What attention made of patches first, first + 1, … as the projection reads it.
    template <class Mask>
    void encode_attended(std::int64_t first, const weights::Input& in) {
        const auto visible = mask::over_grid<Mask>(grid_, d_.merge);
        execution::for_row_blocks(team_, in.rows, 8, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t i = begin; i < end; ++i) {
                const std::int64_t patch = (first + i) % e_.span, frame = first + i - patch;
                weights::traits<Format>::template encode<Arch>(in, i, 0, d_.hidden, attended_.row(frame + mask::order(visible, patch)));
            }
        });
    }

    /// Merges blocks of patches into tokens. DeepStack's mergers normalise the joined patches, the main one each patch.
    template <bool AfterJoining>
    std::vector<float> merge(int stage, const Merger& w) {
        [[maybe_unused]] const auto held = hold_(stage);
        std::vector<float> out(static_cast<std::size_t>(e_.tokens * d_.out));
        const std::int64_t width = AfterJoining ? d_.merged() : d_.hidden;  // of what is normalised
        in_passes(e_.tokens, [&](std::int64_t first, std::int64_t count) {
            const weights::Input in{input_, count, d_.merged()}, inner{inner_, count, d_.merged()};
            execution::for_row_blocks(team_, count, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
                float* row = rows_ + thread * round_up(d_.merged(), 16);
                for (std::int64_t i = begin; i < end; ++i) {
                    for (std::int64_t c = 0; c < d_.merged(); c += width)
                        Norm::template row<Arch>(x_.data + (first + i) * d_.merged() + c, w.norm.weight.data(), w.norm.bias.data(),
                                                 static_cast<float>(d_.norm_eps), width, row + c);
                    weights::traits<Format>::template encode<Arch>(in, i, 0, d_.merged(), row);
                }
            });
            activated<typename P::MergerActivation>(in, w.fc1, w.fc1_bias, inner);
            weights::linear_store<Arch, Format>(team_, inner, w.fc2, w.fc2_bias.data(), Matrix(out.data() + first * d_.out, count, d_.out));
        });
        return out;
    }

    void normalise(ConstMatrix x, const NormParameters<std::vector<float>>& w, const weights::Input& out) {
        norm::normalise<Arch, Norm>(team_, x, w, d_.norm_eps, rows_, [&](std::int64_t row, const float* values) {
            weights::traits<Format>::template encode<Arch>(out, row, 0, x.cols, values);
        });
    }

    /// y = activation(x · W^T + bias).
    template <class Activation>
    void activated(const weights::Input& x, const weights::WeightMatrix& w, const std::vector<float>& bias, const weights::Input& y) {
        weights::linear<Arch, Format>(team_, x, std::array{&w}, [&](int, std::int64_t row, std::int64_t first, std::int64_t count, const float* sums) {
            alignas(64) float out[weights::task_rows];
            std::copy_n(sums, count, out);
            kernels::add_row<Arch>(bias.data() + first, count, out);
            Activation::template row<Arch>(out, count, out);
            weights::traits<Format>::template encode<Arch>(y, row, first, count, out);
        });
    }

    const VisionDims& d_;
    const Weights& w_;
    Grid grid_;
    Extents e_;
    Team& team_;
    const TensorHook& hook_;
    Hold hold_;
    AlignedFloats memory_;
    KeyStore::Layer keys_;
    Matrix x_, attended_;
    float* queries_;          ///< [heads, span, channels]
    Matrix cosines_, sines_;  ///< [span, head_dim / 2]
    float* qkv_;
    std::byte *input_, *inner_;  ///< activations as the weights read them: into a dense layer, and between two
    float *rows_, *scratch_;     ///< each thread's: a row on its way, and attention's
};

}  // namespace qwen3vl::vision
