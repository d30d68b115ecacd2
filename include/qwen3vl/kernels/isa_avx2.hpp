#pragma once
#include <immintrin.h>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/half.hpp>

// Operations that xsimd lacks, for AVX2 with F16C: integer vectors, conversions between 16-bit floats and float32
// vectors, and (for AVX-512 before xsimd 9) a fused multiply-add.
#if defined(__AVX2__) && defined(__F16C__)
namespace qwen3vl::inline QWEN3VL_ABI::kernels::isa {

inline __m256 widen(arch::avx2, const bf16* p) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
inline __m256 widen(arch::avx2, const std::int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline __m256 widen(arch::avx2, const f16* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

/// a b + c, rounded once.
inline __m256 fma(arch::avx2, __m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }

/// Rounds to nearest even. The values must be finite or infinite: a NaN may become an infinity.
inline void narrow(arch::avx2, __m256 v, bf16* p) {
    const __m256i u = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}

/// Rounds to nearest even; beyond 65504 becomes infinite.
inline void narrow(arch::avx2, __m256 v, f16* p) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

inline __m256i load_bytes(arch::avx2, const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline void store_bytes(arch::avx2, __m256i v, std::byte* p) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline __m256i set_int(arch::avx2, std::int32_t v) { return _mm256_set1_epi32(v); }
/// Copies 16 bytes to every 128-bit lane.
inline __m256i spread(arch::avx2, __m128i v) { return _mm256_broadcastsi128_si256(v); }
inline __m256i add_int32(arch::avx2, __m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
inline __m256i and_bits(arch::avx2, __m256i a, __m256i b) { return _mm256_and_si256(a, b); }
template <int N>
__m256i shift_left32(arch::avx2, __m256i v) {
    return _mm256_slli_epi32(v, N);
}
template <int N>
__m256i shift_right16(arch::avx2, __m256i v) {
    return _mm256_srli_epi16(v, N);
}
inline __m256i lookup(arch::avx2, __m256i table, __m256i index) { return _mm256_shuffle_epi8(table, index); }
/// Pairs of 16-bit products, summed to 32 bits.
inline __m256i multiply_pairs(arch::avx2, __m256i a, __m256i b) { return _mm256_madd_epi16(a, b); }
/// acc + pairs of products of 16-bit numbers, summed to 32 bits.
inline __m256i add_products16(arch::avx2, __m256i acc, __m256i a, __m256i b) {
    __m256i pairs;  // asm: through intrinsics, GCC 12 spills a register tile
    asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(pairs) : "x"(a), "x"(b));
    return acc;
}
/// acc + pairs of products of unsigned and signed bytes, all in 16 bits; a pair must fit them.
inline __m256i add_products8(arch::avx2, __m256i acc, __m256i u, __m256i s) {
    __m256i pairs;
    asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(acc), "=&x"(pairs) : "x"(u), "x"(s));
    return acc;
}
inline __m256 int_to_float(arch::avx2, __m256i v) { return _mm256_cvtepi32_ps(v); }
/// n + 1 where a > b.
inline __m256i count_greater(arch::avx2, __m256i n, __m256 a, __m256 b) {
    return _mm256_sub_epi32(n, _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_GT_OQ)));
}
/// Rounds to nearest even.
inline __m256i float_to_int(arch::avx2, __m256 v) { return _mm256_cvtps_epi32(v); }
inline __m256i int_bits(arch::avx2, __m256 v) { return _mm256_castps_si256(v); }
/// The lanes' low bytes; the lanes are within [-128, 127].
inline void store_low_bytes(arch::avx2, __m256i v, std::int8_t* p) {
    const __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(half, half));
}
inline std::int32_t sum_int32(arch::avx2, __m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
inline __m256 float_bits(arch::avx2, __m256i v) { return _mm256_castsi256_ps(v); }
inline __m256i bytes_to_int(arch::avx2, const std::uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
#if defined(__AVXVNNI__)
/// acc + the dot products of four unsigned and four signed bytes in each lane.
inline __m256i dot_bytes(arch::avx2_vnni, __m256i acc, __m256i u, __m256i s) {
    return _mm256_dpbusd_avx_epi32(acc, u, s);
}
#endif

}  // namespace qwen3vl::kernels::isa
#endif
