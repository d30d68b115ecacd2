#pragma once
#include <qwen3vl/kernels/activations.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::activation {

/// silu(gate) * up (Shazeer, 2020, "GLU variants improve transformer", eq. 6; `Qwen3VLTextMLP`).
struct SwiGLU {
    static constexpr const char* name = "SwiGLU";
    static constexpr bool gated = true;
    /// out = silu(gate) * up over n floats; out may be either input.
    template <class Arch>
    static void row(const float* gate, const float* up, std::int64_t n, float* out) {
        kernels::for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
            kernels::store<Arch>(
                kernels::silu<Arch>(kernels::load<Arch>(gate + i, count)) * kernels::load<Arch>(up + i, count), out + i,
                count);
        });
    }
};

}  // namespace qwen3vl::activation
