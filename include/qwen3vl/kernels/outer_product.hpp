#pragma once
#include <qwen3vl/kernels/simd.hpp>

/// Sums of outer products: the float32 kernel under dense layers and attention, where both operands have been laid out for it.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// Register tile of outer_product: rows of x, and vectors of w. 3/4 of the vector registers hold sums.
template <class Arch>
inline constexpr int outer_rows = Arch::floats == 16 ? 12 : 6;
inline constexpr int outer_vectors = 2;

/// out [MR, NV * floats] (+)= sum over k of x[k][r] w[k][c], where x[k][r] = x[k * x_step + r] and w[k][c] = w[k * w_step + c]. The sum over k
/// starts from zero in ascending order and is then stored (`first`) or added to out, so its bits depend on neither MR nor NV.
template <class Arch, int MR, int NV>
inline void outer_product(const float* x, std::int64_t x_step, const float* w, std::int64_t w_step, std::int64_t k, bool first, float* out,
                          std::int64_t out_stride) {
    constexpr int width = Arch::floats;
    vec<Arch> sum[MR][NV];
    QWEN3VL_UNROLL
    for (int r = 0; r < MR; ++r) {
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) sum[r][v] = vec<Arch>(0.0f);
    }
    for (std::int64_t i = 0; i < k; ++i, x += x_step, w += w_step) {
        vec<Arch> b[NV];
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) b[v] = load<Arch>(w + v * width);
        QWEN3VL_UNROLL
        for (int r = 0; r < MR; ++r) {
            const vec<Arch> a(x[r]);
            QWEN3VL_UNROLL
            for (int v = 0; v < NV; ++v) sum[r][v] = fma<Arch>(a, b[v], sum[r][v]);
        }
    }
    QWEN3VL_UNROLL
    for (int r = 0; r < MR; ++r) {
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) {
            float* at = out + r * out_stride + v * width;
            store<Arch>(first ? sum[r][v] : sum[r][v] + load<Arch>(at), at);
        }
    }
}

}  // namespace qwen3vl::kernels
