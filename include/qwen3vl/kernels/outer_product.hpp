#pragma once
#include <qwen3vl/kernels/simd.hpp>

/// Sums of outer products: the float32 kernel under dense layers and attention, where both operands have been laid out
/// for it.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// Register tile of outer_product: rows of x, and vectors of w. 3/4 of the vector registers hold sums.
template <class Arch>
inline constexpr int outer_rows = Arch::floats == 16 ? 12 : 6;
inline constexpr int outer_vectors = 2;  ///< vectors of w

/// Calls out(row, vector, sum over i < k of x[i * XStep + row * XRow] w[i * w_step + vector's columns]). Sums run in
/// ascending order from zero: their bits depend on neither MR nor NV. step(i) is called first in each step.
template <class Arch, int MR, int NV, std::int64_t XStep, std::int64_t XRow, class Element, class Step, class Out>
inline void outer_sums(const float* x, const Element* w, std::int64_t w_step, std::int64_t k, Step step, Out out) {
    vec<Arch> sum[std::size_t{MR}][std::size_t{NV}];
    QWEN3VL_UNROLL
    for (int r = 0; r < MR; ++r) {
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) sum[r][v] = vec<Arch>(0.0f);
    }
    for (std::int64_t i = 0; i < k; ++i, x += XStep, w += w_step) {
        step(i);
        vec<Arch> b[std::size_t{NV}];
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) b[v] = load<Arch>(w + v * Arch::floats);
        QWEN3VL_UNROLL
        for (int r = 0; r < MR; ++r) {
            const vec<Arch> a(x[r * XRow]);
            QWEN3VL_UNROLL
            for (int v = 0; v < NV; ++v) sum[r][v] = fma<Arch>(a, b[v], sum[r][v]);
        }
    }
    QWEN3VL_UNROLL
    for (int r = 0; r < MR; ++r) {
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) out(r, v, sum[r][v]);
    }
}

/// out [MR, NV * floats] (+)= x [k, MR]^T w [k, NV * floats]: the sum over k is stored (`first`) or added to out.
template <class Arch, int MR, int NV>
inline void outer_product(const float* x, const float* w, std::int64_t k, bool first, float* out,
                          std::int64_t out_stride) {
    outer_sums<Arch, MR, NV, MR, 1>(
        x, w, NV * Arch::floats, k, [](std::int64_t) {},
        [=](int r, int v, vec<Arch> sum) {
            float* at = out + r * out_stride + v * Arch::floats;
            store<Arch>(first ? sum : sum + load<Arch>(at), at);
        });
}

/// out [cols] = x [n] · matrix [n, cols]; cols a multiple of 16.
template <class Arch>
void row_times_matrix(const float* x, std::int64_t n, const float* matrix, std::int64_t cols, float* out) {
    const auto columns = [&]<int NV>(std::int64_t c) {
        outer_sums<Arch, 1, NV, 1, 1>(
            x, matrix + c, cols, n, [](std::int64_t) {},
            [=](int, int v, vec<Arch> sum) { store<Arch>(sum, out + c + v * Arch::floats); });
    };
    constexpr int most = 4;
    std::int64_t c = 0;
    for (; c + most * Arch::floats <= cols; c += most * Arch::floats) columns.template operator()<most>(c);
    for (; c < cols; c += Arch::floats) columns.template operator()<1>(c);
}

}  // namespace qwen3vl::kernels
