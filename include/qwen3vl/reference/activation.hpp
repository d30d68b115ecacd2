#pragma once
#include <cmath>
#include <numbers>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// x * sigmoid(x) (Ramachandran et al., 2017, "Searching for activation functions", with beta = 1).
inline double silu(double x) { return x / (1.0 + std::exp(-x)); }

/// silu(gate) * up (Shazeer, 2020, eq. 6 without the matrices).
inline double swiglu(double gate, double up) { return silu(gate) * up; }

/// x * P(X <= x) for a standard normal X (Hendrycks & Gimpel, 2016, eq. 1).
inline double gelu_exact(double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); }

/// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel, 2016, section 2). Computed by the identity (1
/// + tanh z) / 2 = 1 / (1 + exp(-2 z)), which does not cancel for negative x.
inline double gelu_tanh(double x) {
    return x / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

}  // namespace qwen3vl::reference
