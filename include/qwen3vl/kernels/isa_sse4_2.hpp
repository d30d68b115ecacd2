#pragma once
#include <immintrin.h>
#include <cstring>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/half.hpp>

// What xsimd lacks, for SSE4.2: conversions between 16-bit floats and float32 vectors.
namespace qwen3vl::inline QWEN3VL_ABI::kernels::isa {

inline __m128 widen(arch::sse4_2, const bf16* p) {
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))), 16));
}
inline __m128 widen(arch::sse4_2, const f16* p) { return _mm_setr_ps(p[0], p[1], p[2], p[3]); }

/// a b + c; this target has no fused form.
inline __m128 fma(arch::sse4_2, __m128 a, __m128 b, __m128 c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }

/// Rounds to nearest even. The values must be finite or infinite: a NaN may become an infinity.
inline void narrow(arch::sse4_2, __m128 v, bf16* p) {
    const __m128i u = _mm_castps_si128(v);
    const __m128i odd = _mm_and_si128(_mm_srli_epi32(u, 16), _mm_set1_epi32(1));
    const __m128i rounded = _mm_srli_epi32(_mm_add_epi32(u, _mm_add_epi32(odd, _mm_set1_epi32(0x7fff))), 16);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi32(rounded, rounded));
}

}  // namespace qwen3vl::kernels::isa
