#pragma once
#include <immintrin.h>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/half.hpp>

// What xsimd lacks, for AVX-512: conversions between 16-bit floats and float32 vectors, and (for AVX-512 before xsimd 9) a fused multiply-add.
#if defined(__AVX512F__) && defined(__AVX512BW__)
namespace qwen3vl::inline QWEN3VL_ABI::kernels::isa {

inline __m512 widen(arch::avx512, const bf16* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
inline __m512 widen(arch::avx512, const f16* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }

/// a b + c, rounded once.
inline __m512 fma(arch::avx512, __m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }

/// Rounds to nearest even. The values must be finite or infinite: a NaN may become an infinity.
inline void narrow(arch::avx512, __m512 v, bf16* p) {
    const __m512i u = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}

}  // namespace qwen3vl::kernels::isa
#endif
