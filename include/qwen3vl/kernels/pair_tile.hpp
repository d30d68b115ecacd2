#pragma once
#include <cstddef>
#include <qwen3vl/kernels/integer_dot.hpp>
#include <qwen3vl/kernels/prefetch.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// out [MR, NV * floats] (+)= x · w^T over `pairs` pairs of bfloat16 columns: x [pairs][MR] pairs, w
/// [pairs][NV][floats] pairs. The sum starts from zero in ascending order and is then stored (`first`) or added to out,
/// so its bits do not depend on MR. A single row waits for w, and asks for it ahead.
template <class Arch, int MR, int NV>
void pair_tile(std::int64_t pairs, const std::byte* x, const std::byte* w, bool first, float* out,
               std::int64_t out_stride) {
    constexpr int width = Arch::floats;
    vec<Arch> sum[std::size_t{MR}][std::size_t{NV}];
    QWEN3VL_UNROLL
    for (int r = 0; r < MR; ++r) {
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) sum[r][v] = vec<Arch>(0.0f);
    }
    for (std::int64_t i = 0; i < pairs; ++i, x += 4 * MR, w += 4 * NV * width) {
        if constexpr (MR == 1) ask_ahead_of_step<4 * NV * width>(w);
        ivec<Arch> b[std::size_t{NV}];
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) b[v] = isa::load_bytes(Arch{}, w + v * 4 * width);
        QWEN3VL_UNROLL
        for (int r = 0; r < MR; ++r) {
            std::int32_t pair;
            std::memcpy(&pair, x + 4 * r, sizeof pair);
            const auto a = isa::set_int(Arch{}, pair);
            QWEN3VL_UNROLL
            for (int v = 0; v < NV; ++v) sum[r][v] = isa::dot_pairs(Arch{}, sum[r][v], a, b[v]);
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
