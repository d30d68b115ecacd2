#pragma once
#include <immintrin.h>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// out [columns, Rows] = in [Rows, columns]^T in units of four bytes, whose meaning does not matter; rows of `in` are
/// `stride` units apart, columns of `out` `out_stride`. In squares of 4 x 4, which every target does alike: more would
/// be bound by the memory.
template <int Rows>
void transpose(const std::byte* in, std::int64_t stride, std::int64_t columns, std::byte* out,
               std::int64_t out_stride = Rows) {
    static_assert(Rows % 4 == 0);
    const auto from = [&](std::int64_t r, std::int64_t c) {
        return reinterpret_cast<const float*>(in + 4 * (r * stride + c));
    };
    const auto to = [&](std::int64_t c, std::int64_t r) {
        return reinterpret_cast<float*>(out + 4 * (c * out_stride + r));
    };
    std::int64_t c = 0;
    for (; c + 4 <= columns; c += 4)
        for (std::int64_t r = 0; r < Rows; r += 4) {
            __m128 row[4];
            for (int i = 0; i < 4; ++i) row[i] = _mm_loadu_ps(from(r + i, c));
            _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
            for (int i = 0; i < 4; ++i) _mm_storeu_ps(to(c + i, r), row[i]);
        }
    for (; c < columns; ++c)
        for (std::int64_t r = 0; r < Rows; ++r)
            std::memcpy(out + 4 * (c * out_stride + r), in + 4 * (r * stride + c), 4);
}

}  // namespace qwen3vl::kernels
