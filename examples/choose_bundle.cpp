// Chooses a bundle for the 2B by the memory at hand: the choice is a type, so it is made here, once, and pasted;
// nothing is chosen at run time.
//     choose_bundle MEMORY_MIB CONTEXT_TOKENS
// Prints the candidates that fit, the best first, with their predicted memory and measured quality, and the `using`
// line of the best. `qwen3vl advise` does the same for any checkpoint. Exit code: 0, 1 nothing fits, 2 a mistake in the
// arguments.
#include <cstdio>
#include <cstdlib>

#include "tools/advice.hpp"

namespace q = qwen3vl;

int main(int argc, char** argv) {
    const long mib = argc == 3 ? std::strtol(argv[1], nullptr, 10) : 0,
               context = argc == 3 ? std::strtol(argv[2], nullptr, 10) : 0;
    if (mib < 1 || mib > 1 << 20 || context < 1 || context > 1 << 24) {
        std::fprintf(stderr, "usage: choose_bundle MEMORY_MIB CONTEXT_TOKENS, as choose_bundle 4096 16384\n");
        return 2;
    }
    const q::SessionOptions session{.context = static_cast<int>(context),
                                    .largest_picture = {1, 64, 64}};  // pictures of up to 1024 x 1024 pixels
    const auto rows = advice::fitting(advice::candidates_for<q::models::Qwen3VL_2B>(session), std::int64_t{mib} << 20);
    for (const auto& row : rows) {
        std::printf("%-16s %6lld MiB", row.bundle.c_str(), static_cast<long long>(row.plan.total() >> 20));
        if (row.quality)
            std::printf("  KL %.1e nats a token, %.2f %% the same likeliest token", row.quality->kl, row.quality->top1);
        std::printf("%s\n", row.on_disk ? ", waits for the disk" : "");
    }
    if (rows.empty()) {
        std::fprintf(stderr, "nothing fits %ld MiB with a context of %ld tokens\n", mib, context);
        return 1;
    }
    std::printf("\nusing Bundle = %s;\n", rows.front().type.c_str());
}
