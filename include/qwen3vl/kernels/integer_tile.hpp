#pragma once
#include <algorithm>
#include <qwen3vl/kernels/integer_dot.hpp>
#include <type_traits>

/// Register tiles over integer codes: sums are exact within a flush (a run of columns that share their scales), and
/// float32 between flushes.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// Columns to a block of integer weights: the data that a register tile reads repeatedly stay in the first-level cache.
inline constexpr std::int64_t integer_block = 512;

/// Arithmetic of a format's codes: weight = code * scale (+ minimum). The scale is that of a group of columns, or of
/// the row; the caller then multiplies by it in the end.
template <bool Narrow, bool GroupScale, bool Minimum>
struct IntegerKind {
    /// Codes below 16; a scale for groups of columns, not rows; a minimum beside it.
    static constexpr bool narrow = Narrow, group_scale = GroupScale, minimum = Minimum;
    /// Number stored beside an activation's scale for each flush. The integer to start from, -(code of zero) * sum of
    /// the activations; where the weights have a minimum, scale * sum of the activations.
    using Start = std::conditional_t<Minimum, float, std::int32_t>;
};

/// sum + activation scale * (exact sum * weight scale + minimum * sum of the activations).
template <class Arch, class Kind>
vec<Arch> add_flush(vec<Arch> sum, ivec<Arch> exact, float x_scale, typename Kind::Start start, vec<Arch> w_scale,
                    vec<Arch> w_minimum) {
    const vec<Arch> value = isa::int_to_float(Arch{}, exact), s(x_scale);
    if constexpr (!Kind::group_scale)
        return fma<Arch>(value, s, sum);
    else if constexpr (Kind::minimum)
        return fma<Arch>(vec<Arch>(start), w_minimum, fma<Arch>(value * s, w_scale, sum));
    else
        return fma<Arch>(value * s, w_scale, sum);
}
/// The sum that a flush begins with, as IntegerDot::start().
template <class Arch, class Kind>
auto start_sum(typename Kind::Start start) {
    return IntegerDot<Arch, Kind::narrow>::start(Kind::minimum ? 0 : static_cast<std::int32_t>(start));
}
/// A flush's sum without what IntegerDot carries beside it, as IntegerDot::total().
template <class Arch, class Kind>
ivec<Arch> total_sum(ivec<Arch> sum, typename Kind::Start start) {
    return IntegerDot<Arch, Kind::narrow>::total(sum, Kind::minimum ? 0 : static_cast<std::int32_t>(start));
}

/// A block of columns: `quads` groups of four, `flush_quads` of them to a flush, `scale_flushes` flushes to a weight
/// scale.
struct IntegerBlock {
    std::int64_t quads = 0, flush_quads = 0, scale_flushes = 1;  ///< in groups of four columns; in flushes
    /// Flushes of the block, the last of which may be shorter.
    std::int64_t flushes() const { return (quads + flush_quads - 1) / flush_quads; }
};

/// out [MR, NV * floats] (+)= x · w^T over one block. x [quads][steps][MR] as IntegerDot::put, scales and starts
/// [flushes][MR]; w [quads][steps][NV] vectors as IntegerDot::prepare, w_scales and w_minima [groups][NV] vectors.
template <class Arch, class Kind, int MR, int NV>
void integer_tile(const IntegerBlock& block, const std::byte* x, const float* scales,
                  const typename Kind::Start* starts, const std::byte* w, const float* w_scales, const float* w_minima,
                  bool first, float* out, std::int64_t out_stride) {
    using Dot = IntegerDot<Arch, Kind::narrow>;
    constexpr int width = Arch::floats;
    if (first)
        for (int r = 0; r < MR; ++r) std::fill_n(out + r * out_stride, NV * width, 0.0f);
    std::int64_t until_scale = block.scale_flushes;
    for (std::int64_t q = 0; q < block.quads; q += block.flush_quads) {
        ivec<Arch> sum[std::size_t{MR}][std::size_t{NV}];
        QWEN3VL_UNROLL
        for (int r = 0; r < MR; ++r) {
            QWEN3VL_UNROLL
            for (int v = 0; v < NV; ++v) sum[r][v] = start_sum<Arch, Kind>(starts[r]);
        }
        for (std::int64_t n = std::min(block.flush_quads, block.quads - q) * Dot::steps; n > 0;
             --n, w += NV * width * 4, x += MR * 4) {
            ivec<Arch> b[std::size_t{NV}];
            QWEN3VL_UNROLL
            for (int v = 0; v < NV; ++v) b[v] = isa::load_bytes(Arch{}, w + v * width * 4);
            QWEN3VL_UNROLL
            for (int r = 0; r < MR; ++r) {
                const auto a = broadcast4<Arch>(x + r * 4);
                QWEN3VL_UNROLL
                for (int v = 0; v < NV; ++v) sum[r][v] = Dot::add(sum[r][v], b[v], a);
            }
        }
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) {
            const vec<Arch> s = Kind::group_scale ? load<Arch>(w_scales + v * width) : vec<Arch>(0.0f);
            const vec<Arch> m = Kind::minimum ? load<Arch>(w_minima + v * width) : vec<Arch>(0.0f);
            QWEN3VL_UNROLL
            for (int r = 0; r < MR; ++r) {
                float* at = out + r * out_stride + v * width;
                store<Arch>(add_flush<Arch, Kind>(load<Arch>(at), total_sum<Arch, Kind>(sum[r][v], starts[r]),
                                                  scales[r], starts[r], s, m),
                            at);
            }
        }
        scales += MR;
        starts += MR;
        if (--until_scale == 0) {
            until_scale = block.scale_flushes;
            w_scales += NV * width;
            w_minima += NV * width;
        }
    }
}

}  // namespace qwen3vl::kernels
