// Links the two sides and checks that each kept its own code. Plain C++, compiled for neither.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

extern "C" {
const char* avx2_arch();
const char* avx512_arch();
const void* avx2_add_row();
const void* avx512_add_row();
const void* avx2_shape_text();
const void* avx512_shape_text();
void avx2_logits(float*);
void avx512_logits(float*);
}

namespace {
int failures = 0;
void check(bool ok, const char* what) {
    if (!ok) ++failures;
    std::printf("%s: %s\n", ok ? "passed" : "FAILED", what);
}
}  // namespace

int main() {
    check(std::strcmp(avx2_arch(), "avx2") == 0, "the object compiled for haswell runs AVX2 kernels");
    check(std::strcmp(avx512_arch(), "avx512") == 0, "the object compiled for skylake-avx512 runs AVX-512 kernels");
    check(avx2_add_row() != avx512_add_row(), "each has its own kernel");
    check(avx2_shape_text() != avx512_shape_text(), "each has its own copy of a function without an Arch");
    constexpr std::size_t vocab = 464;
    std::vector<float> a(vocab), b(vocab);
    avx2_logits(a.data());
    avx512_logits(b.data());
    float largest = 0, difference = 0;
    for (std::size_t i = 0; i < vocab; ++i) {
        largest = std::fmax(largest, std::fabs(a[i]));
        difference = std::fmax(difference, std::fabs(a[i] - b[i]));
    }
    // float32 rounding, whose order differs with the width of the vectors: the golden tolerance
    check(largest > 0 && difference <= 2e-5f * largest, "both compute the same logits");
    return failures;
}
