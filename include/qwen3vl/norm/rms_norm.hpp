#pragma once
#include <qwen3vl/kernels/rows.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::norm {

/// Root mean square normalisation: x / sqrt(mean(x^2) + eps) * weight (Zhang & Sennrich, 2019; `Qwen3VLTextRMSNorm`).
struct RMSNorm {
    static constexpr const char* name = "RMSNorm";
    static constexpr bool has_bias = false;
    /// Normalises one row of n floats; `bias` is not read. out may be x.
    template <class Arch>
    static void row(const float* x, const float* weight, const float* /*bias*/, float eps, std::int64_t n, float* out) {
        kernels::rms_norm_row<Arch>(x, weight, eps, n, out);
    }
};

}  // namespace qwen3vl::norm
