#pragma once
#include <immintrin.h>
#include <array>
#include <cstdint>
#include <cstring>
#include <qwen3vl/kernels/amx_tiles.hpp>
#include <qwen3vl/kernels/simd.hpp>
#include <utility>
#include <vector>

/// The loops that find a machine's limits: chains of arithmetic instructions in registers, and patterns of streaming
/// through memory.
namespace bench {
namespace q = qwen3vl;
using Arch = q::arch::native;
/// The same vectors without dot products of bytes.
using VectorArch = std::conditional_t<Arch::floats == 16, q::arch::avx512,
                                      std::conditional_t<Arch::floats == 8, q::arch::avx2, q::arch::sse4_2>>;

/// Where results go that nobody reads, so that the loops stay.
inline volatile float sink;

/// Chains that do not wait for each other: two units with a latency of four or five cycles, within 16 registers.
inline constexpr int chain_count = 12;

/// Bytes that the compiler cannot know.
template <class Register>
Register unknown(int byte) {
    volatile unsigned char value = static_cast<unsigned char>(byte);
    alignas(64) unsigned char bytes[sizeof(Register)];
    for (auto& b : bytes) b = value;
    Register r;
    std::memcpy(static_cast<void*>(&r), bytes, sizeof r);
    return r;
}

template <class Register>
float first_float(Register r) {
    float first = 0.0f;
    std::memcpy(&first, &r, sizeof first);
    return first;
}

/// step(accumulator, operand i) on every chain, `rounds` times. The operands are read anew in every round, as a kernel
/// reads them: were they in registers, products of them would leave the loop.
template <class Register, class Step>
void run_chains(std::int64_t rounds, Step&& step) {
    alignas(64) Register operands[chain_count];
    for (auto& o : operands) o = unknown<Register>(0x3c);
    [&]<std::size_t... I>(std::index_sequence<I...>) {  // indices are constants, so that the sums stay in registers
        Register sum[] = {(static_cast<void>(I), unknown<Register>(0))...};
        for (std::int64_t r = 0; r < rounds; ++r) {
            const Register* at = operands;
            asm volatile("" : "+r"(at) : "m"(operands));
            ((sum[I] = step(sum[I], at + I)), ...);
        }
        sink = (first_float(sum[I]) + ...);
    }
    (std::make_index_sequence<chain_count>{});
}

/// A sequence of instructions: its name, the operations of one chain's step (a multiply-add counts two) and their unit,
/// and the loop over rounds of chain_count steps.
struct Chain {
    const char* name;
    const char* unit;
    double operations;
    void (*run)(std::int64_t rounds);
};

/// s + a * a, fused where the target has the instruction, else s + a * *b. Intrinsics: a generic fma may be two
/// instructions, of which the compiler takes the product out of the loop.
#if defined(__AVX512F__)
inline __m512 multiply_add(__m512 s, __m512 a, const __m512*) { return _mm512_fmadd_ps(a, a, s); }
#endif
#if defined(__FMA__)
inline __m256 multiply_add(__m256 s, __m256 a, const __m256*) { return _mm256_fmadd_ps(a, a, s); }
#endif
inline __m128 multiply_add(__m128 s, __m128 a, const __m128* b) { return _mm_add_ps(s, _mm_mul_ps(a, *b)); }

inline void run_fma(std::int64_t rounds) {
    using V = q::kernels::vec<Arch>::register_type;
    const V a = unknown<V>(0x3c);
    run_chains<V>(rounds, [a](V s, const V* b) { return multiply_add(s, a, b); });
}

#if defined(__AVX512BF16__)
inline void run_dot_bf16(std::int64_t rounds) {
    const auto a = unknown<__m512bh>(0x3c), b = unknown<__m512bh>(0x3d);
    run_chains<__m512>(rounds, [a, b](__m512 s, const __m512*) { return _mm512_dpbf16_ps(s, a, b); });
}
#endif
#if defined(__AVX512VNNI__)
inline void run_dot_int8(std::int64_t rounds) {
    const auto a = unknown<__m512i>(3), b = unknown<__m512i>(5);
    run_chains<__m512i>(rounds, [a, b](__m512i s, const __m512i*) { return _mm512_dpbusd_epi32(s, a, b); });
}
inline constexpr double dot_int8_operations = 128;
#elif defined(__AVXVNNI__)
inline void run_dot_int8(std::int64_t rounds) {
    const auto a = unknown<__m256i>(3), b = unknown<__m256i>(5);
    run_chains<__m256i>(rounds, [a, b](__m256i s, const __m256i*) { return _mm256_dpbusd_avx_epi32(s, a, b); });
}
inline constexpr double dot_int8_operations = 64;
#endif
#if defined(__AVX2__)
/// Unsigned x signed bytes, pairs added in 16 bits (which saturates for full-range bytes), then in 32.
inline void run_maddubs(std::int64_t rounds) {
    const auto a = unknown<__m256i>(5), ones = _mm256_set1_epi16(1);
    run_chains<__m256i>(rounds, [a, ones](__m256i s, const __m256i* b) {
        return _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(a, *b), ones));
    });
}
#endif
/// Exact without an instruction for bytes: 16-bit products, pairs of which add up in 32 bits.
inline void run_exact_int8(std::int64_t rounds) {
    using V = q::kernels::ivec<Arch>;
    const auto a = unknown<V>(5);
    run_chains<V>(rounds, [a](V s, const V* b) { return q::kernels::isa::add_products16(Arch{}, s, a, *b); });
}
/// Unsigned 4-bit x signed bytes, exact: a pair of products is at most 2 * 15 * 127, so eight of them add in 16 bits
/// before they go to 32.
inline void run_exact_int4(std::int64_t rounds) {
    using V = q::kernels::ivec<Arch>;
    using Dot = q::kernels::IntegerDot<VectorArch, true>;
    const auto a = unknown<V>(5);
    run_chains<V>(rounds, [a](V s, const V* b) {
        V pairs = Dot::start(0);
        for (int i = 0; i < 8; ++i) pairs = q::kernels::isa::add_products8(Arch{}, pairs, a, *b);
        return q::kernels::isa::add_int32(Arch{}, s, Dot::total(pairs, 0));
    });
}
#if defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__AMX_BF16__)
/// Products of whole tiles in registers: 16 x 16 sums, 64 bytes of columns.
template <bool Bytes>
void run_amx(std::int64_t rounds) {
    const q::kernels::AmxTiles tiles(16, 64);
    for (std::int64_t i = 0; i < rounds; ++i) {
        if constexpr (Bytes) {
            _tile_dpbsud(0, 4, 6);
            _tile_dpbsud(1, 4, 7);
            _tile_dpbsud(2, 5, 6);
            _tile_dpbsud(3, 5, 7);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
}
#endif

/// Every chain that this program is compiled for.
inline const std::vector<Chain>& chains() {
    static const std::vector<Chain> all = {
        {"fma_float32", "GFLOP/s", 2.0 * Arch::floats, run_fma},
#if defined(__AVX512BF16__)
        {"dot_bf16", "GFLOP/s", 64, run_dot_bf16},
#endif
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
        {"dot_int8", "GOP/s", dot_int8_operations, run_dot_int8},
#endif
#if defined(__AVX2__)
        {"maddubs_int8", "GOP/s", 64, run_maddubs},
#endif
        {"exact_int8", "GOP/s", 4.0 * Arch::floats, run_exact_int8},
        {"exact_int4", "GOP/s", 64.0 * Arch::floats, run_exact_int4},
#if defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__AMX_BF16__)
        {"amx_bf16", "GFLOP/s", 4.0 * 16 * 16 * 64 / chain_count, run_amx<false>},
        {"amx_int8", "GOP/s", 4.0 * 16 * 16 * 128 / chain_count, run_amx<true>},
#endif
    };
    return all;
}

/// A way to go through n floats; n is a multiple of 1024. `moved` counts how often each byte passes: 1 for reading, 2
/// for reading and writing back.
struct Pattern {
    const char* name;
    int moved;
    void (*run)(float* p, std::int64_t n);
};

/// Adds all of it up in `Streams` places at once, a cache line at each in turn, asking for lines `Ahead` bytes early
/// (0: not).
template <int Streams, int Ahead>
void run_read(float* p, std::int64_t n) {
    using V = q::kernels::vec<Arch>;
    constexpr std::int64_t line = 16;
    constexpr int registers = line / Arch::floats, sums = Streams > 2 ? 1 : registers;
    const std::int64_t length = n / Streams;
    std::array<V, static_cast<std::size_t>(Streams * sums)> sum;
    for (auto& s : sum) s = V(0.0f);
    for (std::int64_t i = 0; i + line <= length; i += line)
        for (int s = 0; s < Streams; ++s) {
            const float* at = p + s * length + i;
            if constexpr (Ahead > 0) _mm_prefetch(reinterpret_cast<const char*>(at) + Ahead, _MM_HINT_T0);
            for (int r = 0; r < registers; ++r)
                sum[static_cast<std::size_t>(s * sums + r % sums)] += q::kernels::load<Arch>(at + r * Arch::floats);
        }
    V total(0.0f);
    for (const auto& s : sum) total += s;
    sink = q::kernels::sum_lanes<Arch>(total);
}

/// Changes the sign of every float where it stands.
inline void run_update(float* p, std::int64_t n) {
    const q::kernels::vec<Arch> minus(-1.0f);
    for (std::int64_t i = 0; i < n; i += Arch::floats)
        q::kernels::store<Arch>(q::kernels::load<Arch>(p + i) * minus, p + i);
}

inline const std::vector<Pattern>& patterns() {
    static const std::vector<Pattern> all = {
        {"1 stream", 1, run_read<1, 0>},  {"1 stream, prefetched", 1, run_read<1, 2048>},
        {"2 streams", 1, run_read<2, 0>}, {"4 streams, prefetched", 1, run_read<4, 1024>},
        {"8 streams", 1, run_read<8, 0>}, {"8 streams, prefetched", 1, run_read<8, 1024>},
        {"update", 2, run_update},
    };
    return all;
}

}  // namespace bench
