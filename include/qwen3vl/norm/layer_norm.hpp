#pragma once
#include <qwen3vl/kernels/rows.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::norm {

/// Layer normalisation: (x - mean) / sqrt(variance + eps) * weight + bias (Ba et al., 2016; torch.nn.LayerNorm).
struct LayerNorm {
    static constexpr const char* name = "LayerNorm";
    static constexpr bool has_bias = true;
    /// Normalises one row of n floats. out may be x.
    template <class Arch>
    static void row(const float* x, const float* weight, const float* bias, float eps, std::int64_t n, float* out) {
        kernels::layer_norm_row<Arch>(x, weight, bias, eps, n, out);
    }
};

}  // namespace qwen3vl::norm
