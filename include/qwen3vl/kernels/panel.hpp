#pragma once
#include <algorithm>
#include <qwen3vl/kernels/simd.hpp>

/// Dot products between rows: the kernel under every dense layer and under the scores of attention.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// Columns summed into one set of vector accumulators before they are reduced. Fixed, so that a result's bits depend on
/// neither its tile nor the number of rows beside it. 1024 float32 columns of a register tile's rows stay in the
/// first-level cache.
inline constexpr std::int64_t panel_columns = 1024;

/// Register tile: rows of x by rows of w. 2/3 of the vector registers hold accumulators.
template <class Arch>
inline constexpr int tile_x = Arch::floats == 16 ? 6 : 3;
inline constexpr int tile_w = 4;  ///< rows of w

namespace detail {
/// out[i][j] (+)= sum over k of x[i][k] w[j][k], for an MR x NR tile over at most panel_columns columns.
template <class Arch, int MR, int NR, class Element>
void dot_tile(const float* x, std::int64_t x_stride, const Element* w, std::int64_t w_stride, std::int64_t k,
              bool first, float* out, std::int64_t out_stride) {
    vec<Arch> sum[std::size_t{MR}][std::size_t{NR}];
    QWEN3VL_UNROLL
    for (int i = 0; i < MR; ++i) {
        QWEN3VL_UNROLL
        for (int j = 0; j < NR; ++j) sum[i][j] = vec<Arch>(0.0f);
    }
    std::int64_t c = 0;
    for (; c + Arch::floats <= k; c += Arch::floats) {
        vec<Arch> b[std::size_t{NR}];
        QWEN3VL_UNROLL
        for (int j = 0; j < NR; ++j) b[j] = load<Arch>(w + j * w_stride + c);
        QWEN3VL_UNROLL
        for (int i = 0; i < MR; ++i) {
            const auto a = load<Arch>(x + i * x_stride + c);
            QWEN3VL_UNROLL
            for (int j = 0; j < NR; ++j) sum[i][j] = fma<Arch>(a, b[j], sum[i][j]);
        }
    }
    if (c < k) {
        QWEN3VL_UNROLL
        for (int j = 0; j < NR; ++j) {
            const auto b = load_first<Arch>(w + j * w_stride + c, k - c);
            QWEN3VL_UNROLL
            for (int i = 0; i < MR; ++i)
                sum[i][j] = fma<Arch>(load_first<Arch>(x + i * x_stride + c, k - c), b, sum[i][j]);
        }
    }
    QWEN3VL_UNROLL
    for (int i = 0; i < MR; ++i) {
        QWEN3VL_UNROLL
        for (int j = 0; j < NR; ++j) {
            const float s = sum_lanes<Arch>(sum[i][j]);
            float& o = out[i * out_stride + j];
            o = first ? s : o + s;
        }
    }
}

template <class Arch, int MR, class Element>
void dot_columns(const float* x, std::int64_t xs, const Element* w, std::int64_t ws, std::int64_t n, std::int64_t k,
                 bool first, float* out, std::int64_t os) {
    // a single row of x leaves registers free: more rows of w at once hide the latency of its additions
    constexpr int NR = MR == 1 ? 2 * tile_w : tile_w;
    std::int64_t j = 0;
    for (; j + NR <= n; j += NR) dot_tile<Arch, MR, NR>(x, xs, w + j * ws, ws, k, first, out + j, os);
    for (; j < n; ++j) dot_tile<Arch, MR, 1>(x, xs, w + j * ws, ws, k, first, out + j, os);
}
}  // namespace detail

/// out [m, n] = x [m, k] · w [n, k]^T, rows at the given strides (in elements). w may be float32, bf16 or f16; sums are
/// float32. out aliases neither input. Every out[i][j] has the same bits whatever m, n and the position of the row in
/// them.
template <class Arch, class Element>
void panel(const float* x, std::int64_t x_stride, std::int64_t m, const Element* w, std::int64_t w_stride,
           std::int64_t n, std::int64_t k, float* out, std::int64_t out_stride) {
    constexpr int MR = tile_x<Arch>;
    // rows of w in strips that stay in the second-level cache while all of x passes by
    const std::int64_t strip = std::max<std::int64_t>(tile_w, 65536 / std::max<std::int64_t>(k, 1) / tile_w * tile_w);
    for (std::int64_t j = 0; j < n; j += strip) {
        const std::int64_t columns = std::min(strip, n - j);
        for (std::int64_t k0 = 0; k0 < k; k0 += panel_columns) {
            const std::int64_t depth = std::min(panel_columns, k - k0);
            const Element* b = w + j * w_stride + k0;
            const auto rows = [&]<int R>(std::int64_t i) {
                detail::dot_columns<Arch, R>(x + i * x_stride + k0, x_stride, b, w_stride, columns, depth, k0 == 0,
                                             out + i * out_stride + j, out_stride);
            };
            std::int64_t i = 0;
            for (; i + MR <= m; i += MR) rows.template operator()<MR>(i);
            if constexpr (MR == 6)
                for (; i + 3 <= m; i += 3) rows.template operator()<3>(i);
            for (; i < m; ++i) rows.template operator()<1>(i);
        }
    }
}

}  // namespace qwen3vl::kernels
