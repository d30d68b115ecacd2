#pragma once
#include <cpuid.h>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/list.hpp>
#include <string>
#include <type_traits>

#include <sys/syscall.h>
#include <unistd.h>

/// Instruction-set targets. Every kernel takes one explicitly; a program is compiled for one, by default the widest its
/// flags allow.
namespace qwen3vl::inline QWEN3VL_ABI::arch {

namespace detail {
/// Bit `bit` of register `reg` (0 to 3: eax, ebx, ecx, edx) of CPUID leaf 7 with a subleaf.
inline bool cpuid7(unsigned subleaf, int reg, int bit) {
    unsigned r[4] = {};
    return __get_cpuid_count(7, subleaf, &r[0], &r[1], &r[2], &r[3]) != 0 && (r[reg] >> bit & 1u) != 0;
}
}  // namespace detail

/// SSE4.2, 128-bit vectors.
struct sse4_2 {
    static constexpr const char* name = "sse4_2";
    static constexpr int floats = 4;
    static constexpr bool dot_int8 = false, dot_bf16 = false, tiles = false;
    static constexpr const char* flag = "-msse4.2";
    static constexpr bool compiled = true;
    static bool supported() { return __builtin_cpu_supports("sse4.2"); }
};

/// AVX2 with FMA and F16C, 256-bit vectors.
struct avx2 {
    static constexpr const char* name = "avx2";
    static constexpr int floats = 8;
    static constexpr bool dot_int8 = false, dot_bf16 = false, tiles = false;
    static constexpr const char* flag = "-march=haswell";
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
    static constexpr bool compiled = true;
#else
    static constexpr bool compiled = false;
#endif
    static bool supported() {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    }
};

/// AVX2 with AVX-VNNI: dot products of bytes (Alder Lake and later cores without AVX-512).
struct avx2_vnni : avx2 {
    static constexpr const char* name = "avx2_vnni";
    static constexpr const char* flag = "-march=alderlake";
    static constexpr bool dot_int8 = true;
#if defined(__AVXVNNI__)
    static constexpr bool compiled = avx2::compiled;
#else
    static constexpr bool compiled = false;
#endif
    static bool supported() { return avx2::supported() && detail::cpuid7(1, 0, 4); }
};

/// AVX-512 F, BW, DQ and VL, 512-bit vectors.
struct avx512 {
    static constexpr const char* name = "avx512";
    static constexpr int floats = 16;
    static constexpr const char* flag = "-march=skylake-avx512";
    static constexpr bool dot_int8 = false, dot_bf16 = false, tiles = false;
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    static constexpr bool compiled = true;
#else
    static constexpr bool compiled = false;
#endif
    static bool supported() {
        return avx2::supported() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
};

/// AVX-512 with VNNI: dot products of bytes (Ice Lake and later).
struct avx512_vnni : avx512 {
    static constexpr const char* name = "avx512_vnni";
    static constexpr const char* flag = "-march=icelake-server";
    static constexpr bool dot_int8 = true;
#if defined(__AVX512VNNI__)
    static constexpr bool compiled = avx512::compiled;
#else
    static constexpr bool compiled = false;
#endif
    static bool supported() { return avx512::supported() && __builtin_cpu_supports("avx512vnni"); }
};

/// AVX-512 with dot products of bytes and of bfloat16 (Zen 4, Cooper Lake and later). AMD's cores multiply twice as
/// many pairs of bfloat16 as float32 in a cycle; Intel's issue half as many such instructions as multiply-adds, gain
/// nothing by them, and are better off with avx512_vnni, which `native` is there.
struct avx512_bf16 : avx512_vnni {
    static constexpr const char* name = "avx512_bf16";
    static constexpr const char* flag = "-march=cooperlake";
    static constexpr bool dot_bf16 = true;
#if defined(__AVX512BF16__)
    static constexpr bool compiled = avx512_vnni::compiled;
#else
    static constexpr bool compiled = false;
#endif
    static bool supported() { return avx512_vnni::supported() && detail::cpuid7(1, 0, 5); }
};

/// AMX: matrix tiles of bytes and of bfloat16 beside AVX-512 (Sapphire Rapids and later).
struct amx : avx512_bf16 {
    static constexpr const char* name = "amx";
    static constexpr const char* flag = "-march=sapphirerapids";
    static constexpr bool tiles = true;
#if defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__AMX_BF16__)
    static constexpr bool compiled = avx512_bf16::compiled;
#else
    static constexpr bool compiled = false;
#endif
    /// Asks the system for the tiles, which a process has to before it may use them.
    static bool supported() {
        return avx512_bf16::supported() && detail::cpuid7(0, 3, 24) && detail::cpuid7(0, 3, 25) &&
               detail::cpuid7(0, 3, 22) &&
               syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */) == 0;
    }
};

/// Every target, from the narrowest to the widest: feeds the tests and the benches.
using all = list<sse4_2, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16, amx>;

namespace detail {
/// True for cores on which dot products of bfloat16 are faster than multiply-adds of float32. GCC before 12.3 takes Zen
/// 4 for Zen 3 with more instructions.
#if defined(__znver3__) || defined(__znver4__) || defined(__znver5__)
inline constexpr bool fast_dot_bf16 = avx512_bf16::compiled;
#else
inline constexpr bool fast_dot_bf16 = false;
#endif
}  // namespace detail

/// The fastest target that this file's compiler flags allow. A bundle may name another: `with_arch<arch::avx512_bf16>`.
using native = std::conditional_t<
    amx::compiled, amx,
    std::conditional_t<
        detail::fast_dot_bf16, avx512_bf16,
        std::conditional_t<avx512_vnni::compiled, avx512_vnni,
                           std::conditional_t<avx512::compiled, avx512,
                                              std::conditional_t<avx2_vnni::compiled, avx2_vnni,
                                                                 std::conditional_t<avx2::compiled, avx2, sse4_2>>>>>>;

/// Refuses at compile time a target that the flags do not allow.
template <class A>
consteval bool check_compiled() {
#define QWEN3VL_CHECK_ARCH(arch_name, march)                                                                       \
    if constexpr (std::is_same_v<A, arch_name>)                                                                    \
    static_assert(A::compiled, "qwen3vl: arch " #arch_name ": this file is not compiled for it; add -march=" march \
                               " or -march=native")
    QWEN3VL_CHECK_ARCH(avx2, "haswell");
    QWEN3VL_CHECK_ARCH(avx2_vnni, "alderlake");
    QWEN3VL_CHECK_ARCH(avx512, "skylake-avx512");
    QWEN3VL_CHECK_ARCH(avx512_vnni, "icelake-server");
    QWEN3VL_CHECK_ARCH(avx512_bf16, "cooperlake");
    QWEN3VL_CHECK_ARCH(amx, "sapphirerapids");
#undef QWEN3VL_CHECK_ARCH
    return A::compiled;
}

/// Throws UnsupportedCpu where this CPU lacks what the program was compiled for.
template <class A>
void require_supported() {
    if (!A::supported())
        throw UnsupportedCpu(std::string("this program is compiled for ") + A::name +
                             ", which this CPU lacks; build it with the preset avx2 or sse4_2");
}

}  // namespace qwen3vl::arch
