#pragma once
#include <immintrin.h>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/half.hpp>

/// Operations that xsimd lacks, by target: integer vectors, conversions between 16-bit floats and float32 vectors.
namespace qwen3vl::inline QWEN3VL_ABI::kernels::isa {

/// Four numbers as float32; exact.
inline __m128 widen(arch::sse4_2, const bf16* p) {
    return _mm_castsi128_ps(
        _mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))), 16));
}
/// Four numbers as float32; exact.
inline __m128 widen(arch::sse4_2, const std::int8_t* p) {
    std::int32_t four = 0;
    std::memcpy(&four, p, sizeof four);
    return _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four)));
}
/// Four numbers as float32; exact.
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

/// Rounds to nearest even; beyond 65504 becomes infinite.
inline void narrow(arch::sse4_2, __m128 v, f16* p) {
    alignas(16) float lanes[4];
    _mm_store_ps(lanes, v);
    for (int i = 0; i < 4; ++i) p[i] = f16(lanes[i]);
}

/// A vector from any address.
inline __m128i load_bytes(arch::sse4_2, const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
/// Stores a vector to any address.
inline void store_bytes(arch::sse4_2, __m128i v, std::byte* p) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
/// The same 32 bits in every lane.
inline __m128i set_int(arch::sse4_2, std::int32_t v) { return _mm_set1_epi32(v); }
/// Copies 16 bytes to every 128-bit lane, of which there is one.
inline __m128i spread(arch::sse4_2, __m128i v) { return v; }
/// Sum by 32-bit lanes, which wraps around.
inline __m128i add_int32(arch::sse4_2, __m128i a, __m128i b) { return _mm_add_epi32(a, b); }
/// Bits that both have.
inline __m128i and_bits(arch::sse4_2, __m128i a, __m128i b) { return _mm_and_si128(a, b); }
/// Shifts 32-bit lanes by N bits, zeros coming in.
template <int N>
__m128i shift_left32(arch::sse4_2, __m128i v) {
    return _mm_slli_epi32(v, N);
}
/// Shifts 16-bit lanes by N bits, zeros coming in.
template <int N>
__m128i shift_right16(arch::sse4_2, __m128i v) {
    return _mm_srli_epi16(v, N);
}
/// Bytes of the table, by the low four bits of each byte of the index; zero where its highest bit is set.
inline __m128i lookup(arch::sse4_2, __m128i table, __m128i index) { return _mm_shuffle_epi8(table, index); }
/// Pairs of 16-bit products, summed to 32 bits.
inline __m128i multiply_pairs(arch::sse4_2, __m128i a, __m128i b) { return _mm_madd_epi16(a, b); }
/// acc + pairs of products of 16-bit numbers, summed to 32 bits.
inline __m128i add_products16(arch::sse4_2, __m128i acc, __m128i a, __m128i b) {
    return _mm_add_epi32(acc, _mm_madd_epi16(a, b));
}
/// acc + pairs of products of unsigned and signed bytes, all in 16 bits; a pair must fit them.
inline __m128i add_products8(arch::sse4_2, __m128i acc, __m128i u, __m128i s) {
    return _mm_add_epi16(acc, _mm_maddubs_epi16(u, s));
}
/// Nearest float32 of each 32-bit integer.
inline __m128 int_to_float(arch::sse4_2, __m128i v) { return _mm_cvtepi32_ps(v); }
/// n + 1 where a > b.
inline __m128i count_greater(arch::sse4_2, __m128i n, __m128 a, __m128 b) {
    return _mm_sub_epi32(n, _mm_castps_si128(_mm_cmpgt_ps(a, b)));
}
/// Rounds to nearest even.
inline __m128i float_to_int(arch::sse4_2, __m128 v) { return _mm_cvtps_epi32(v); }
/// The same bits as integers.
inline __m128i int_bits(arch::sse4_2, __m128 v) { return _mm_castps_si128(v); }
/// The lanes' low bytes; the lanes are within [-128, 127].
inline void store_low_bytes(arch::sse4_2, __m128i v, std::int8_t* p) {
    const __m128i half = _mm_packs_epi32(v, v);
    const std::int32_t four = _mm_cvtsi128_si32(_mm_packs_epi16(half, half));
    std::memcpy(p, &four, sizeof four);
}
/// Sum of the 32-bit lanes, which wraps around.
inline std::int32_t sum_int32(arch::sse4_2, __m128i v) {
    v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1)));
}
/// The same bits as float32.
inline __m128 float_bits(arch::sse4_2, __m128i v) { return _mm_castsi128_ps(v); }
/// Four unsigned bytes as 32-bit integers.
inline __m128i bytes_to_int(arch::sse4_2, const std::uint8_t* p) {
    std::int32_t four = 0;
    std::memcpy(&four, p, sizeof four);
    return _mm_cvtepu8_epi32(_mm_cvtsi32_si128(four));
}

}  // namespace qwen3vl::kernels::isa
