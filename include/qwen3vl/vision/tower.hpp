#pragma once
#include <algorithm>
#include <array>
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/hooks.hpp>
#include <qwen3vl/core/layers.hpp>
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/mask/over_grid.hpp>
#include <qwen3vl/memory/role.hpp>
#include <qwen3vl/ops/heads.hpp>
#include <qwen3vl/position/rotary.hpp>
#include <qwen3vl/vision/parameters.hpp>
#include <qwen3vl/vision/patch_order.hpp>
#include <qwen3vl/weights/traits.hpp>

/// The vision tower (`Qwen3VLVisionModel`, modeling_qwen3_vl.py): patches of one picture or clip in, visual tokens out.
namespace qwen3vl::inline QWEN3VL_ABI::vision {

/// Patches that pass a dense layer at once: bounds the memory of the widest activation.
inline constexpr std::int64_t pass_patches = 1024;

/// Keys and values of a frame pair.
using KeyStore = kv_cache::Contiguous<kv_cache::Float32>;

/// A picture's activations and their sizes. Memory grows linearly with its patches.
struct Extents {
    std::int64_t patches, span, channels, tokens;  ///< span: patches of one frame pair, which attend to each other
    /// Sizes of a picture of this grid.
    Extents(const VisionDims& d, const Grid& g)
        : patches(g.patches()),
          span(std::int64_t{g.h} * g.w),
          channels(kv_cache::padded_channels(d.head_dim())),
          tokens(g.merged(d.merge)) {}
    /// Patches that pass a dense layer at once.
    std::int64_t pass() const { return std::min(patches, pass_patches); }
    /// Floats of a frame pair's queries, all heads padded.
    std::int64_t head_floats(const VisionDims& d) const { return d.heads * span * channels; }
    /// Extent of a frame pair's keys and values.
    kv_cache::Extent key_extent(const VisionDims& d) const { return {d.heads, channels, span, 0, 0}; }
};

/// The policies the tower is made of, so that bundles with the same ones share its code. Attention may be a plan by
/// block.
template <class A, class N, class Act, class MergerAct, class Pos, class W>
struct Slots {
    using Attention = A;
    using Norm = N;
    using Activation = Act;
    using MergerActivation = MergerAct;
    using Position = Pos;
    using Weights = W;
};

/// Activations of a picture, in memory of a space that the caller owns.
template <class Space = HostSpace>
struct Buffers : Extents {
    using Matrix = BasicMatrix<float, Space>;                   ///< rows of float32 in the space
    using Bytes = typename Space::template pointer<std::byte>;  ///< pointer to bytes in the space
    using Floats = typename Space::template pointer<float>;     ///< pointer to float32 in the space
    /// Name of the part in memory plans.
    static constexpr const char* part = "picture: patches, workspace and features";

    /// Describes the buffers; their places are set by visit().
    Buffers(const VisionDims& dims, const Grid& g) : Extents(dims, g), d(dims) {}

    /// Floats of scratch that operations need for each thread: a normed row, or a key and a value.
    std::int64_t row_floats() const { return ops::scratch_floats(d.merged(), channels); }

    const VisionDims& d;       ///< extents of the tower
    Bytes keys{};              ///< KeyStore's of a frame pair
    Matrix x, attended;        ///< [patches, hidden]
    Floats queries{};          ///< [heads, span, channels]
    Matrix cosines, sines;     ///< [span, head_dim / 2]
    Floats qkv{};              ///< [pass, 3 hidden]
    Bytes input{}, inner{};    ///< packed activations: into a dense layer, and between two
    Floats rows{}, scratch{};  ///< each thread's: the operations', row_floats(), and attention's

    /// Calls f(part, place, bytes, role) for each block, for the policies P (Slots<...>) and a team of `threads`
    /// threads.
    template <class Arch, class P, class F>
    void visit(int threads, F&& f) {
        constexpr memory::Role role{memory::Pool::vision, memory::Content::scratch};
        const auto floats = [&](Floats& place, std::int64_t count) {
            Bytes bytes{};
            f(part, bytes, count * static_cast<std::int64_t>(sizeof(float)), role);
            place = Space::template cast<float>(bytes);
        };
        const auto matrix = [&](Matrix& m, std::int64_t count, std::int64_t columns) {
            floats(m.data, count * columns);
            m = Matrix(m.data, count, columns);
        };
        const auto packed = [&](std::int64_t columns) {
            return weights::traits<typename P::Weights>::template activation_bytes<Arch>(pass(), columns);
        };
        f(part, keys, KeyStore::bytes(key_extent(d)), role);
        matrix(x, patches, d.hidden);
        matrix(attended, patches, d.hidden);
        floats(queries, head_floats(d));
        matrix(cosines, span, d.head_dim() / 2);
        matrix(sines, span, d.head_dim() / 2);
        floats(qkv, pass() * 3 * d.hidden);
        f(part, input, std::max({packed(d.patch_values()), packed(d.hidden), packed(d.merged())}), role);
        f(part, inner, std::max(packed(d.ffn), packed(d.merged())), role);
        floats(rows, threads * row_floats());
        std::int64_t of_attention = 0;
        for_each_type<typename plan<typename P::Attention>::types>([&]<class A>(A) {
            of_attention = std::max(of_attention,
                                    attention::scratch_floats<typename A::type>(threads, d.heads, 1, channels, span));
        });
        floats(scratch, of_attention);
    }
};

/// No-op guard source for weights that are always in memory. A source for others returns, for a stage, a guard that
/// keeps the stage's weights in memory while it lives.
struct NoGuard {
    /// Guards nothing.
    constexpr NoGuard operator()(int) const { return {}; }
};

/// Encoder of one picture or clip: the buffers, and the steps in their order, in the operations of an execution
/// (ops/cpu.hpp). P is `Slots<…>`.
template <class P, class Ops, class Guards = NoGuard>
class Encoder {
    using Norm = typename P::Norm;
    using Format = typename P::Weights;
    using Space = typename Ops::Space;
    using Matrix = BasicMatrix<float, Space>;
    using Packed = weights::BasicPackedActivations<Space>;
    using Weights = Parameters<weights::BasicWeightMatrix<Space>, std::vector<float>>;
    using Merger = MergerParameters<weights::BasicWeightMatrix<Space>, std::vector<float>>;

  public:
    /// `buffers` were given their places for the operations' threads.
    Encoder(const VisionDims& d, const Weights& w, const Grid& grid, const Ops& ops, const Buffers<Space>& buffers,
            const TensorHook& hook, const Guards& guards = {})
        : d_(d),
          w_(w),
          grid_(grid),
          ops_(ops),
          hook_(hook),
          guards_(guards),
          b_(buffers),
          keys_(b_.keys, b_.key_extent(d)) {
        ops_.clear(b_.keys, KeyStore::bytes(b_.key_extent(d)));
        fill_angles();
    }

    /// Encodes `values` [grid.patches(), patch_values]. Reports progress block by block.
    VisualFeatures run(const float* values, const ProgressCallback& progress) {
        embed(values);
        VisualFeatures out{.grid = grid_, .merge = d_.merge, .width = d_.out, .embedding = {}, .deepstack = {}};
        for (int i = 0; i < d_.depth; ++i) {
            report(progress, "image", i, d_.depth);
            block(i);
            see("vision.block", i, b_.x);
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
    ConstMatrix features(const std::vector<float>& v) const { return {v.data(), b_.tokens, d_.out, d_.out}; }
    /// f(first patch, count) over parts that fit the buffers of the dense layers.
    template <class F>
    void in_passes(std::int64_t rows, F&& f) const {
        for (std::int64_t i = 0; i < rows; i += pass_patches) f(i, std::min(pass_patches, rows - i));
    }

    void fill_angles() {
        using Rotary = typename P::Position::rotary;
        const auto frequencies = position::frequencies<Rotary>(d_, d_.head_dim());
        for_each_patch(grid_.h, grid_.w, d_.merge, [&](std::int64_t i, int row, int column) {
            position::angles<Rotary>(d_, frequencies, std::array{row, column}, b_.cosines.row(i), b_.sines.row(i));
        });
    }

    void embed_patches(const float* values) {
        [[maybe_unused]] const auto guard = guards_(0);
        const std::int64_t n = d_.patch_values();
        in_passes(b_.patches, [&](std::int64_t first, std::int64_t count) {
            const Packed in{b_.input, count, n};
            ops_.template pack<Format>({values + first * n, count, n, n}, in);
            ops_.template store<Format>(in, w_.patch_embed, &w_.patch_embed_bias,
                                        Matrix(b_.x.row(first), count, d_.hidden));
        });
    }
    void embed(const float* values) {
        embed_patches(values);
        see("vision.patch_embed", 0, b_.x);
        using Table = typename P::Position::table;
        for_each_patch(grid_.h, grid_.w, d_.merge, [&](std::int64_t i, int y, int x) {
            const auto v = Table::sample(y, grid_.h, d_.side()), u = Table::sample(x, grid_.w, d_.side());
            const auto add = [&](int r, int c, float weight) {
                const float* row = w_.positions.data() + (std::int64_t{r} * d_.side() + c) * d_.hidden;
                for (std::int64_t t = 0; t < grid_.t; ++t) {
                    float* out = b_.x.row(t * b_.span + i);
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
        [[maybe_unused]] const auto guard = guards_(block_stage(d_, i));
        const auto& w = w_.blocks[static_cast<std::size_t>(i)];
        const auto with_attention = [&](auto&& f) {
            with_policy<typename P::Attention>(static_cast<std::size_t>(i), f);
        };
        with_attention([&]<class A>(A) {
            for (std::int64_t t = 0; t < grid_.t; ++t) attend<typename A::type>(w, t * b_.span);
        });
        in_passes(b_.patches, [&](std::int64_t first, std::int64_t count) {
            const Packed in{b_.input, count, d_.hidden}, inner{b_.inner, count, d_.ffn};
            const Matrix x(b_.x.row(first), count, d_.hidden);
            with_attention([&]<class A>(A) { gather_attended<typename A::type::mask>(first, in); });
            ops_.template add<Format>(in, w.proj, &w.proj_bias, x);
            ops_.template normalise<Norm, Format>(x, w.norm2, d_.norm_eps, in);
            ops_.template activated<Format, typename P::Activation>(in, w.fc1, w.fc1_bias, inner);
            ops_.template add<Format>(inner, w.fc2, &w.fc2_bias, x);
        });
    }

    /// Attention within one frame pair: patches [first, first + span), to b_.attended in the order of its mask.
    template <class Attention, class Block>
    void attend(const Block& w, std::int64_t first) {
        const auto visible = mask::over_grid<typename Attention::mask>(grid_, d_.merge);
        using Chunk = ops::HeadChunk<typename KeyStore::Layer, Space>;
        Chunk chunk{.cache = &keys_, .queries = b_.queries, .tokens = b_.span};
        ops::HeadRows<Space> heads{
            .heads = d_.heads, .kv_heads = d_.heads, .head_dim = d_.head_dim(), .channels = b_.channels};
        in_passes(b_.span, [&](std::int64_t begin, std::int64_t count) {
            const Matrix qkv(b_.qkv, count, 3 * d_.hidden);
            const Packed in{b_.input, count, d_.hidden};
            ops_.template normalise<Norm, Format>(Matrix(b_.x.row(first + begin), count, d_.hidden), w.norm1,
                                                  d_.norm_eps, in);
            ops_.template store<Format>(in, w.qkv, &w.qkv_bias, qkv);
            chunk.count = count;
            chunk.token = begin;
            heads.qkv = qkv;
            heads.cosines = b_.cosines.from(begin);
            heads.sines = b_.sines.from(begin);
            ops_.template rotate_and_store<Norm, true>(heads, std::span<const Chunk>(&chunk, 1),
                                                       [&](std::int64_t i) { return mask::order(visible, i); });
        });
        ops_.template attend_picture<Attention>(heads, chunk, visible, b_.attended.from(first), b_.scratch);
    }
    /// Packs the attended rows of patches first, first + 1, … for the projection.
    template <class Mask>
    void gather_attended(std::int64_t first, const Packed& in) {
        const auto visible = mask::over_grid<Mask>(grid_, d_.merge);
        ops_.template gather<Format>(b_.attended, in, [&](std::int64_t i) {
            const std::int64_t patch = (first + i) % b_.span;
            return first + i - patch + mask::order(visible, patch);
        });
    }

    /// Merges blocks of patches into tokens. DeepStack's mergers normalise the joined patches, the main one each patch.
    template <bool AfterJoining>
    std::vector<float> merge(int stage, const Merger& w) {
        [[maybe_unused]] const auto guard = guards_(stage);
        std::vector<float> out(static_cast<std::size_t>(b_.tokens * d_.out));
        in_passes(b_.tokens, [&](std::int64_t first, std::int64_t count) {
            const Packed in{b_.input, count, d_.merged()}, inner{b_.inner, count, d_.merged()};
            const Matrix joined(b_.x.data + first * d_.merged(), count, d_.merged());
            ops_.template normalise<Norm, Format>(joined, w.norm, d_.norm_eps, in, AfterJoining ? 0 : d_.hidden);
            ops_.template activated<Format, typename P::MergerActivation>(in, w.fc1, w.fc1_bias, inner);
            ops_.template store<Format>(inner, w.fc2, &w.fc2_bias, Matrix(out.data() + first * d_.out, count, d_.out));
        });
        return out;
    }

    const VisionDims& d_;
    const Weights& w_;
    Grid grid_;
    Ops ops_;
    const TensorHook& hook_;
    Guards guards_;
    Buffers<Space> b_;
    KeyStore::Layer keys_;
};

}  // namespace qwen3vl::vision
