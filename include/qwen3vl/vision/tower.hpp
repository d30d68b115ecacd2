#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/hooks.hpp>
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/tile.hpp>
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

/// A picture's activations and their sizes. Memory grows linearly with its patches.
struct Extents {
    std::int64_t patches, span, channels, tokens;  ///< span: patches of one frame pair, which attend to each other
    Extents(const VisionDims& d, const Grid& g)
        : patches(g.patches()), span(std::int64_t{g.h} * g.w), channels(kv_cache::padded_channels(d.head_dim())), tokens(g.merged(d.merge)) {}
    std::int64_t pass() const { return std::min(patches, pass_patches); }
    std::int64_t head_floats(const VisionDims& d) const { return d.heads * span * channels; }
};

/// Floats that encoding a picture of this grid needs beside the weights, the features themselves not counted.
template <class Attention>
std::int64_t workspace_floats(const VisionDims& d, const Grid& g, int threads) {
    const Extents e(d, g);
    const std::int64_t stream = 3 * e.patches * d.hidden, heads = 3 * e.head_floats(d), angles = e.span * d.head_dim();
    const std::int64_t dense = e.pass() * std::max({3 * d.hidden, d.ffn, d.merged()});
    return stream + heads + angles + dense + threads * attention::scratch_floats<Attention>(1, e.channels, e.span) + 16 * 16;
}

/// The policies the tower is made of, so that bundles with the same ones share its code.
template <class A, class N, class Act, class MergerAct, class Pos, class W>
struct Slots {
    using Attention = A;
    using Norm = N;
    using Activation = Act;
    using MergerActivation = MergerAct;
    using Position = Pos;
    using Weights = W;
};

/// One encoding: the buffers, and the steps in their order. P is Slots<…>.
template <class Arch, class P, class Team>
class Encoder {
    using Attention = typename P::Attention;
    using Norm = typename P::Norm;
    using Format = typename P::Weights;
    using Weights = Parameters<weights::MatrixOf<Format>, std::vector<float>>;
    using Merger = MergerParameters<weights::MatrixOf<Format>, std::vector<float>>;

  public:
    Encoder(const VisionDims& d, const Weights& w, const Grid& grid, Team& team, const TensorHook& hook)
        : d_(d),
          w_(w),
          grid_(grid),
          e_(d, grid),
          team_(team),
          hook_(hook),
          memory_(aligned_floats(static_cast<std::size_t>(workspace_floats<Attention>(d, grid, team.threads())))) {
        float* next = memory_.get();
        const auto take = [&](std::int64_t n) { return std::exchange(next, next + round_up(n, 16)); };
        x_ = {take(e_.patches * d.hidden), e_.patches, d.hidden};
        normed_ = {take(e_.patches * d.hidden), e_.patches, d.hidden};
        attended_ = {take(e_.patches * d.hidden), e_.patches, d.hidden};
        queries_ = take(e_.head_floats(d));
        keys_ = take(e_.head_floats(d));
        values_ = take(e_.head_floats(d));
        cosines_ = {take(e_.span * d.head_dim() / 2), e_.span, d.head_dim() / 2};
        sines_ = {take(e_.span * d.head_dim() / 2), e_.span, d.head_dim() / 2};
        dense_ = take(e_.pass() * std::max({3 * d.hidden, d.ffn, d.merged()}));
        scratch_ = next;
        for (float* p : {queries_, keys_, values_}) std::fill_n(p, e_.head_floats(d), 0.0f);  // padded channels stay zero
        fill_angles();
    }

    /// `values` [grid.patches(), patch_values]. Reports progress block by block.
    VisualFeatures run(const float* values, const ProgressCallback& progress) {
        embed(values);
        VisualFeatures out{.grid = grid_, .merge = d_.merge, .width = d_.out, .embedding = {}, .deepstack = {}};
        for (int i = 0; i < d_.depth; ++i) {
            report(progress, "image", i, d_.depth);
            block(w_.blocks[static_cast<std::size_t>(i)]);
            see("vision.block", i, x_);
            for (int level = 0; level < d_.deepstack_count; ++level)
                if (d_.deepstack[static_cast<std::size_t>(level)] == i) {
                    out.deepstack.push_back(merge<true>(w_.deepstack[static_cast<std::size_t>(level)]));
                    see("vision.deepstack", level, features(out.deepstack.back()));
                }
        }
        out.embedding = merge<false>(w_.merger);
        see("vision.merger", 0, features(out.embedding));
        report(progress, "image", d_.depth, d_.depth);
        return out;
    }

  private:
    void see(std::string_view name, int index, ConstMatrix rows) const {
        if (hook_) hook_(name, index, rows);
    }
    ConstMatrix features(const std::vector<float>& v) const { return {v.data(), e_.tokens, d_.out, d_.out}; }
    Matrix wide(std::int64_t rows, std::int64_t cols) const { return {dense_, rows, cols}; }
    /// f(first patch, count) over parts that fit the dense buffer.
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

    void embed(const float* values) {
        const std::int64_t n = d_.patch_values();
        weights::linear_store<Arch, Format>(team_, {values, e_.patches, n, n}, w_.patch_embed, w_.patch_embed_bias.data(), x_);
        see("vision.patch_embed", 0, x_);
        using Table = typename P::Position::table;
        std::vector<float> row(static_cast<std::size_t>(d_.hidden));
        for_each_patch(grid_.h, grid_.w, d_.merge, [&](std::int64_t i, int y, int x) {
            const auto v = Table::sample(y, grid_.h, d_.side()), u = Table::sample(x, grid_.w, d_.side());
            const auto add = [&](int r, int c, float weight) {
                weights::traits<Format>::template row<Arch>(w_.positions, r * d_.side() + c, row.data());
                for (std::int64_t t = 0; t < grid_.t; ++t) {
                    float* out = x_.row(t * e_.span + i);
                    for (std::int64_t k = 0; k < d_.hidden; ++k) out[k] += weight * row[static_cast<std::size_t>(k)];
                }
            };
            add(v.low, u.low, (1.0f - v.weight) * (1.0f - u.weight));
            add(v.low, u.high, (1.0f - v.weight) * u.weight);
            add(v.high, u.low, v.weight * (1.0f - u.weight));
            add(v.high, u.high, v.weight * u.weight);
        });
    }

    template <class Block>
    void block(const Block& w) {
        normalise(x_, w.norm1, normed_);
        for (std::int64_t t = 0; t < grid_.t; ++t) attend(w, t * e_.span);
        weights::linear_add<Arch, Format>(team_, attended_, w.proj, w.proj_bias.data(), x_);
        normalise(x_, w.norm2, normed_);
        in_passes(e_.patches, [&](std::int64_t first, std::int64_t count) {
            const Matrix inner = wide(count, d_.ffn);
            activated<typename P::Activation>(ConstMatrix{normed_.row(first), count, d_.hidden, d_.hidden}, w.fc1, w.fc1_bias, inner);
            weights::linear_add<Arch, Format>(team_, inner, w.fc2, w.fc2_bias.data(), Matrix(x_.row(first), count, d_.hidden));
        });
    }

    /// Attention within one frame pair: patches [first, first + span).
    template <class Block>
    void attend(const Block& w, std::int64_t first) {
        const std::int64_t head_dim = d_.head_dim();
        const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
        in_passes(e_.span, [&](std::int64_t begin, std::int64_t count) {
            const Matrix qkv = wide(count, 3 * d_.hidden);
            weights::linear_store<Arch, Format>(team_, {normed_.row(first + begin), count, d_.hidden, d_.hidden}, w.qkv, w.qkv_bias.data(), qkv);
            execution::for_row_blocks(team_, count, 4, [&](std::int64_t from, std::int64_t to, int) {
                for (std::int64_t i = from; i < to; ++i)
                    for (std::int64_t h = 0; h < d_.heads; ++h) {
                        const std::int64_t at = (h * e_.span + begin + i) * e_.channels;
                        const float* q = qkv.row(i) + h * head_dim;
                        kernels::rotate_row<Arch>(q, cosines_.row(begin + i), sines_.row(begin + i), head_dim / 2, queries_ + at);
                        kernels::scale_row<Arch>(scale, head_dim, queries_ + at);
                        kernels::rotate_row<Arch>(q + d_.hidden, cosines_.row(begin + i), sines_.row(begin + i), head_dim / 2, keys_ + at);
                        std::copy_n(q + 2 * d_.hidden, head_dim, values_ + at);
                    }
            });
        });
        const attention::Heads heads{queries_, e_.span, d_.heads, 1, e_.channels, head_dim, 0, e_.span, attended_.row(first), attended_.stride};
        const auto tile = [&](std::int64_t head, std::int64_t index) {
            const std::int64_t key = index * kv_cache::tile_keys, at = (head * e_.span + key) * e_.channels;
            return kv_cache::Tile<float>{keys_ + at, values_ + at, e_.channels, key, std::min(kv_cache::tile_keys, e_.span - key)};
        };
        attention::attend<Arch, Attention>(team_, heads, tile, scratch_);
    }

    /// Merges blocks of patches into tokens. DeepStack's mergers normalise the joined patches, the main one each patch.
    template <bool AfterJoining>
    std::vector<float> merge(const Merger& w) {
        std::vector<float> out(static_cast<std::size_t>(e_.tokens * d_.out));
        if constexpr (AfterJoining)
            normalise(Matrix(x_.data, e_.tokens, d_.merged()), w.norm, Matrix(normed_.data, e_.tokens, d_.merged()));
        else
            normalise(x_, w.norm, normed_);
        in_passes(e_.tokens, [&](std::int64_t first, std::int64_t count) {
            const Matrix inner = wide(count, d_.merged());
            activated<typename P::MergerActivation>(ConstMatrix{normed_.data + first * d_.merged(), count, d_.merged(), d_.merged()}, w.fc1, w.fc1_bias, inner);
            weights::linear_store<Arch, Format>(team_, inner, w.fc2, w.fc2_bias.data(), Matrix(out.data() + first * d_.out, count, d_.out));
        });
        return out;
    }

    void normalise(ConstMatrix x, const NormParameters<std::vector<float>>& w, Matrix out) { norm::normalise<Arch, Norm>(team_, x, w, d_.norm_eps, out); }

    /// y = activation(x · W^T + bias).
    template <class Activation>
    void activated(ConstMatrix x, const weights::MatrixOf<Format>& w, const std::vector<float>& bias, Matrix y) {
        weights::linear<Arch, Format>(team_, x.data, x.stride, x.rows, std::array{&w},
                                      [&](int, std::int64_t row, std::int64_t first, std::int64_t count, const float* sums) {
                                          float* out = y.row(row) + first;
                                          std::copy_n(sums, count, out);
                                          kernels::add_row<Arch>(bias.data() + first, count, out);
                                          Activation::template row<Arch>(out, count, out);
                                      });
    }

    const VisionDims& d_;
    const Weights& w_;
    Grid grid_;
    Extents e_;
    Team& team_;
    const TensorHook& hook_;
    AlignedFloats memory_;
    Matrix x_, normed_, attended_;
    float *queries_, *keys_, *values_;  ///< [heads, span, channels]
    Matrix cosines_, sines_;            ///< [span, head_dim / 2]
    float *dense_, *scratch_;
};

}  // namespace qwen3vl::vision
