#pragma once
#include <cmath>
#include <cstddef>
#include <qwen3vl/core/config.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// x_i / sqrt(mean(x^2) + eps) * weight_i (Zhang & Sennrich, 2019, eq. 4; `Qwen3VLTextRMSNorm.forward`).
inline std::vector<double> rms_norm(const std::vector<double>& x, const std::vector<double>& weight, double eps) {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double root = std::sqrt(squares / static_cast<double>(x.size()) + eps);
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] / root * weight[i];
    return y;
}

/// (x_i - mean) / sqrt(variance + eps) * weight_i + bias_i, the variance over all n elements (Ba et al., 2016, eq. 4;
/// torch.nn.LayerNorm).
inline std::vector<double> layer_norm(const std::vector<double>& x, const std::vector<double>& weight,
                                      const std::vector<double>& bias, double eps) {
    const auto n = static_cast<double>(x.size());
    double mean = 0, variance = 0;
    for (const double v : x) mean += v / n;
    for (const double v : x) variance += (v - mean) * (v - mean) / n;
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = (x[i] - mean) / std::sqrt(variance + eps) * weight[i] + bias[i];
    return y;
}

}  // namespace qwen3vl::reference
