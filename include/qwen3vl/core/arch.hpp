#pragma once
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/list.hpp>
#include <string>
#include <type_traits>

/// Instruction-set targets. Every kernel takes one explicitly; a program is compiled for one, by default the widest its flags allow.
namespace qwen3vl::inline QWEN3VL_ABI::arch {

/// SSE4.2, 128-bit vectors.
struct sse4_2 {
    static constexpr const char* name = "sse4_2";
    static constexpr int floats = 4;  ///< float32 lanes of a vector
    static constexpr const char* flag = "-msse4.2";
    static constexpr bool compiled = true;
    static bool supported() { return __builtin_cpu_supports("sse4.2"); }
};

/// AVX2 with FMA and F16C, 256-bit vectors.
struct avx2 {
    static constexpr const char* name = "avx2";
    static constexpr int floats = 8;
    static constexpr const char* flag = "-march=haswell";
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
    static constexpr bool compiled = true;
#else
    static constexpr bool compiled = false;
#endif
    static bool supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"); }
};

/// AVX-512 F, BW, DQ and VL, 512-bit vectors.
struct avx512 {
    static constexpr const char* name = "avx512";
    static constexpr int floats = 16;
    static constexpr const char* flag = "-march=skylake-avx512";
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    static constexpr bool compiled = true;
#else
    static constexpr bool compiled = false;
#endif
    static bool supported() {
        return avx2::supported() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    }
};

using all = list<sse4_2, avx2, avx512>;

/// The widest target that this file's compiler flags allow.
using native = std::conditional_t<avx512::compiled, avx512, std::conditional_t<avx2::compiled, avx2, sse4_2>>;

/// Refuses at compile time a target that the flags do not allow.
template <class A>
consteval bool check_compiled() {
    if constexpr (std::is_same_v<A, avx512>)
        static_assert(A::compiled, "qwen3vl: arch avx512: this file is not compiled for it; add -march=skylake-avx512 or -march=native");
    if constexpr (std::is_same_v<A, avx2>)
        static_assert(A::compiled, "qwen3vl: arch avx2: this file is not compiled for it; add -march=haswell or -march=native");
    return A::compiled;
}

/// Throws UnsupportedCpu where this CPU lacks what the program was compiled for.
template <class A>
void require_supported() {
    if (!A::supported())
        throw UnsupportedCpu(std::string("this program is compiled for ") + A::name + ", which this CPU lacks; build it with the preset avx2 or sse4_2");
}

}  // namespace qwen3vl::arch
