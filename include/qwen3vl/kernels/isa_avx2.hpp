#pragma once
#include <immintrin.h>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/half.hpp>

// What xsimd lacks, for AVX2 with F16C: conversions between 16-bit floats and float32 vectors, and (for AVX-512 before xsimd 9) a fused multiply-add.
#if defined(__AVX2__) && defined(__F16C__)
namespace qwen3vl::inline QWEN3VL_ABI::kernels::isa {

inline __m256 widen(arch::avx2, const bf16* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
inline __m256 widen(arch::avx2, const f16* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }

/// a b + c, rounded once.
inline __m256 fma(arch::avx2, __m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }

/// Rounds to nearest even. The values must be finite or infinite: a NaN may become an infinity.
inline void narrow(arch::avx2, __m256 v, bf16* p) {
    const __m256i u = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}

}  // namespace qwen3vl::kernels::isa
#endif
