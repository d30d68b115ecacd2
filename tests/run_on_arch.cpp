// run_on_arch ARCH PROGRAM [ARGUMENT…]: becomes PROGRAM where this CPU has ARCH; says so and exits with 4 where it has not. Compiled for any
// x86-64, because a program compiled for more may fail before its main().
#include <unistd.h>
#include <cstdio>
#include <cstring>

namespace {

bool supported(const char* arch) {
    if (std::strcmp(arch, "sse4_2") == 0) return __builtin_cpu_supports("sse4.2");
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (std::strcmp(arch, "avx2") == 0) return avx2;
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
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
