#pragma once
#include <immintrin.h>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/half.hpp>

// Operations that xsimd lacks, for AVX-512: integer vectors, conversions between 16-bit floats and float32 vectors, and
// (for AVX-512 before xsimd 9) a fused multiply-add.
#if defined(__AVX512F__) && defined(__AVX512BW__)
namespace qwen3vl::inline QWEN3VL_ABI::kernels::isa {

inline __m512 widen(arch::avx512, const bf16* p) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
inline __m512 widen(arch::avx512, const std::int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline __m512 widen(arch::avx512, const f16* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

/// a b + c, rounded once.
inline __m512 fma(arch::avx512, __m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }

/// Rounds to nearest even. The values must be finite or infinite: a NaN may become an infinity.
inline void narrow(arch::avx512, __m512 v, bf16* p) {
    const __m512i u = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}

/// Rounds to nearest even; beyond 65504 becomes infinite.
inline void narrow(arch::avx512, __m512 v, f16* p) {
    // all lanes by a mask of them: without optimisation GCC's _mm512_cvtps_ph is a macro that converts -1 to such a
    // mask
    const __m256i halves = _mm512_maskz_cvtps_ph(0xffff, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), halves);
}

inline __m512i load_bytes(arch::avx512, const std::byte* p) { return _mm512_loadu_si512(p); }
inline void store_bytes(arch::avx512, __m512i v, std::byte* p) { _mm512_storeu_si512(p, v); }
inline __m512i set_int(arch::avx512, std::int32_t v) { return _mm512_set1_epi32(v); }
/// Copies 16 bytes to every 128-bit lane.
inline __m512i spread(arch::avx512, __m128i v) { return _mm512_broadcast_i32x4(v); }
inline __m512i add_int32(arch::avx512, __m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
inline __m512i and_bits(arch::avx512, __m512i a, __m512i b) { return _mm512_and_si512(a, b); }
template <int N>
__m512i shift_left32(arch::avx512, __m512i v) {
    return _mm512_slli_epi32(v, N);
}
template <int N>
__m512i shift_right16(arch::avx512, __m512i v) {
    return _mm512_srli_epi16(v, N);
}
inline __m512i lookup(arch::avx512, __m512i table, __m512i index) { return _mm512_shuffle_epi8(table, index); }
/// Pairs of 16-bit products, summed to 32 bits.
inline __m512i multiply_pairs(arch::avx512, __m512i a, __m512i b) { return _mm512_madd_epi16(a, b); }
/// acc + pairs of products of 16-bit numbers, summed to 32 bits.
inline __m512i add_products16(arch::avx512, __m512i acc, __m512i a, __m512i b) {
    __m512i pairs;  // asm: through intrinsics, GCC 12 spills a register tile
    asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+v"(acc), "=&v"(pairs) : "v"(a), "v"(b));
    return acc;
}
/// acc + pairs of products of unsigned and signed bytes, all in 16 bits; a pair must fit them.
inline __m512i add_products8(arch::avx512, __m512i acc, __m512i u, __m512i s) {
    __m512i pairs;
    asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+v"(acc), "=&v"(pairs) : "v"(u), "v"(s));
    return acc;
}
inline __m512 int_to_float(arch::avx512, __m512i v) { return _mm512_cvtepi32_ps(v); }
/// n + 1 where a > b.
inline __m512i count_greater(arch::avx512, __m512i n, __m512 a, __m512 b) {
    return _mm512_mask_add_epi32(n, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), n, _mm512_set1_epi32(1));
}
/// Rounds to nearest even.
inline __m512i float_to_int(arch::avx512, __m512 v) { return _mm512_cvtps_epi32(v); }
inline __m512i int_bits(arch::avx512, __m512 v) { return _mm512_castps_si512(v); }
/// The lanes' low bytes; the lanes are within [-128, 127].
inline void store_low_bytes(arch::avx512, __m512i v, std::int8_t* p) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
}
inline std::int32_t sum_int32(arch::avx512, __m512i v) { return _mm512_reduce_add_epi32(v); }
inline __m512 float_bits(arch::avx512, __m512i v) { return _mm512_castsi512_ps(v); }
inline __m512i bytes_to_int(arch::avx512, const std::uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
#if defined(__AVX512VNNI__)
/// acc + the dot products of four unsigned and four signed bytes in each lane.
inline __m512i dot_bytes(arch::avx512_vnni, __m512i acc, __m512i u, __m512i s) {
    asm("vpdpbusd %2, %1, %0"
        : "+v"(acc)
        : "v"(u), "v"(s));  // through the intrinsic, GCC 12 copies a register tile back and forth
    return acc;
}
#endif
#if defined(__AVX512BF16__)
/// acc + the dot products of two bfloat16 in each lane.
inline __m512 dot_pairs(arch::avx512_bf16, __m512 acc, __m512i a, __m512i b) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));  // as above
    return acc;
}
#endif

}  // namespace qwen3vl::kernels::isa
#endif
