#pragma once
#include <algorithm>
#include <cmath>
#include <qwen3vl/core/config.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// exp(x_i) / sum over j of exp(x_j), shifted by the largest element so that nothing overflows. -infinity becomes 0; at
/// least one element is finite.
inline std::vector<double> softmax(std::vector<double> x) {
    const double largest = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (double& v : x) {
        v = std::exp(v - largest);
        sum += v;
    }
    for (double& v : x) v /= sum;
    return x;
}

}  // namespace qwen3vl::reference
