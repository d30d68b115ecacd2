#pragma once
#include <qwen3vl/kernels/activations.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::activation {

/// Gaussian error linear unit, exact: 0.5 x (1 + erf(x / sqrt(2))) (Hendrycks & Gimpel, 2016; the mergers' nn.GELU()).
struct GeluExact {
    static constexpr const char* name = "GeluExact";
    static constexpr bool gated = false;
    /// out = gelu(x) over n floats; out may be x.
    template <class Arch>
    static void row(const float* x, std::int64_t n, float* out) {
        kernels::for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
            kernels::store<Arch>(kernels::gelu_exact<Arch>(kernels::load<Arch>(x + i, count)), out + i, count);
        });
    }
};

/// The tanh form of GELU (`gelu_pytorch_tanh`, the vision blocks' hidden_act).
struct GeluTanh {
    static constexpr const char* name = "GeluTanh";
    static constexpr bool gated = false;
    /// out = gelu(x) over n floats; out may be x.
    template <class Arch>
    static void row(const float* x, std::int64_t n, float* out) {
        kernels::for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
            kernels::store<Arch>(kernels::gelu_tanh<Arch>(kernels::load<Arch>(x + i, count)), out + i, count);
        });
    }
};

}  // namespace qwen3vl::activation
