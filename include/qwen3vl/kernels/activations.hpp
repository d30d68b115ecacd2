#pragma once
#include <qwen3vl/kernels/simd.hpp>

/// Element-wise activation functions over vectors.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// x / (1 + exp(-x))
template <class Arch>
vec<Arch> silu(vec<Arch> x) {
    return x / (vec<Arch>(1.0f) + xsimd::exp(-x));
}

/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written as x * sigmoid(2 …): one exponential, no cancellation for
/// negative x.
template <class Arch>
vec<Arch> gelu_tanh(vec<Arch> x) {
    const auto inner =
        x * fma<Arch>(x * x, vec<Arch>(2.0f * 0.7978845608028654f * 0.044715f), vec<Arch>(2.0f * 0.7978845608028654f));
    return x / (vec<Arch>(1.0f) + xsimd::exp(-inner));
}

/// 0.5 x (1 + erf(x / sqrt(2)))
template <class Arch>
vec<Arch> gelu_exact(vec<Arch> x) {
    return vec<Arch>(0.5f) * x * (vec<Arch>(1.0f) + xsimd::erf(x * vec<Arch>(0.7071067811865476f)));
}

}  // namespace qwen3vl::kernels
