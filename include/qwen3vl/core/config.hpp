#pragma once
/// The library's version, its inline namespace, and what it needs of the compiler. Every header of the library includes
/// this one.
#define QWEN3VL_VERSION_MAJOR 0
#define QWEN3VL_VERSION_MINOR 1
#define QWEN3VL_VERSION_PATCH 0
#define QWEN3VL_VERSION (QWEN3VL_VERSION_MAJOR * 10000 + QWEN3VL_VERSION_MINOR * 100 + QWEN3VL_VERSION_PATCH)

#if !defined(__cpp_concepts) || __cplusplus < 202002L
#error "qwen3vl needs C++20: compile with -std=c++20 or newer"
#endif
#if !defined(__x86_64__) || !defined(__linux__)
#error "qwen3vl runs on Linux on x86-64"
#endif
#if !defined(__cpp_exceptions)
#error "qwen3vl reports errors as exceptions: compile without -fno-exceptions"
#endif
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "qwen3vl's attention relies on infinities: compile without -ffast-math and -ffinite-math-only"
#endif

// The inline namespace carries the version and the instruction sets this file is compiled for. Two objects built with
// different -m flags then hold different functions, and the linker never gives one the other's code (one-definition
// rule).
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && \
    defined(__FMA__) && defined(__F16C__)
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__) && defined(__AMX_TILE__) && defined(__AMX_INT8__) && \
    defined(__AMX_BF16__)
#define QWEN3VL_ABI v0_1_avx512_vnni_bf16_amx
#elif defined(__AVX512VNNI__) && defined(__AVX512BF16__)
#define QWEN3VL_ABI v0_1_avx512_vnni_bf16
#elif defined(__AVX512VNNI__)
#define QWEN3VL_ABI v0_1_avx512_vnni
#else
#define QWEN3VL_ABI v0_1_avx512
#endif
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#if defined(__AVXVNNI__)
#define QWEN3VL_ABI v0_1_avx2_vnni
#else
#define QWEN3VL_ABI v0_1_avx2
#endif
#elif defined(__SSE4_2__)
#define QWEN3VL_ABI v0_1_sse4_2
#else
#error "qwen3vl needs SSE4.2 at least: compile with -march=native, -march=haswell or -msse4.2"
#endif

// Functions of some size that no template parameter changes are compiled in every file that uses them; or, where a
// program links qwen3vl::support, there alone.
#if defined(QWEN3VL_SUPPORT_LINKED)
#define QWEN3VL_DEFINES_SUPPORT 0
#else
#define QWEN3VL_DEFINES_SUPPORT 1
#endif
#if defined(QWEN3VL_SUPPORT_SOURCE)
#define QWEN3VL_SUPPORT
#else
#define QWEN3VL_SUPPORT inline
#endif

// Before a loop over a register tile: without it, GCC keeps the tile in memory below -O3.
#if defined(__clang__)
#define QWEN3VL_UNROLL _Pragma("unroll")
#else
#define QWEN3VL_UNROLL _Pragma("GCC unroll 16")
#endif
