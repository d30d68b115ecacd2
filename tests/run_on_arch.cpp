// run_on_arch ARCH PROGRAM [ARGUMENT…]: becomes PROGRAM where this CPU has ARCH; says so and exits with 4 where it has
// not. Compiled for any x86-64, because a program compiled for more may fail before its main().
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cstdio>
#include <cstring>

namespace {

/// Bit `bit` of register `reg` (0 to 3: eax, ebx, ecx, edx) of CPUID leaf 7 with a subleaf.
bool cpuid7(unsigned subleaf, int reg, int bit) {
    unsigned r[4] = {};
    return __get_cpuid_count(7, subleaf, &r[0], &r[1], &r[2], &r[3]) != 0 && (r[reg] >> bit & 1u) != 0;
}

bool supported(const char* arch) {
    if (std::strcmp(arch, "sse4_2") == 0) return __builtin_cpu_supports("sse4.2");
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (std::strcmp(arch, "avx2") == 0) return avx2;
    if (std::strcmp(arch, "avx2_vnni") == 0) return avx2 && cpuid7(1, 0, 4);
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (std::strcmp(arch, "avx512") == 0) return avx512;
    const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    if (std::strcmp(arch, "avx512_vnni") == 0) return vnni;
    const bool dot_bf16 = vnni && cpuid7(1, 0, 5);
    if (std::strcmp(arch, "avx512_bf16") == 0) return dot_bf16;
    return dot_bf16 && cpuid7(0, 3, 22) && cpuid7(0, 3, 24) && cpuid7(0, 3, 25) &&
           syscall(SYS_arch_prctl, 0x1023, 18) == 0;  // with the system's leave
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    if (!supported(argv[1])) {
        std::printf("SKIPPED: this CPU lacks %s\n", argv[1]);
        return 4;
    }
    ::execv(argv[2], argv + 2);
    std::perror(argv[2]);
    return 3;
}
