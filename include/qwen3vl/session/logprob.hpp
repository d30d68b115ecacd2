#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <qwen3vl/core/config.hpp>
#include <span>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Natural logarithm of the sum of the exponentials of logits, in double.
inline double log_sum_exp(std::span<const float> logits) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (const float l : logits) top = std::max(top, static_cast<double>(l));
    for (const float l : logits) sum += std::exp(static_cast<double>(l) - top);
    return top + std::log(sum);
}

/// Natural logarithm of a token's probability under logits [vocab].
inline double logprob(std::span<const float> logits, int token) {
    return static_cast<double>(logits[static_cast<std::size_t>(token)]) - log_sum_exp(logits);
}

}  // namespace qwen3vl
