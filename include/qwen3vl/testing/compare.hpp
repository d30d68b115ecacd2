#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <qwen3vl/reference/matmul.hpp>
#include <span>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// The unit roundoff of float32: half the distance from 1 to the next number.
inline constexpr double float_roundoff = 0x1p-24;
/// The unit roundoff of bfloat16, with 8 bits of significand.
inline constexpr double bf16_roundoff = 0x1p-9;

/// Largest |found - expected|; infinite where the lengths differ or a value is not finite.
template <class A, class B>
double largest_difference(const A& found, const B& expected) {
    if (std::size(found) != std::size(expected)) return std::numeric_limits<double>::infinity();
    double largest = 0;
    for (std::size_t i = 0; i < std::size(found); ++i) {
        const double d = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
        if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
        largest = std::max(largest, d);
    }
    return largest;
}

template <class A>
double largest_magnitude(const A& values) {
    double largest = 0;
    for (const auto v : values) largest = std::max(largest, std::abs(static_cast<double>(v)));
    return largest;
}

/// True if two ranges of floats are bit-identical.
inline bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

inline std::vector<double> as_doubles(std::span<const float> v) { return {v.begin(), v.end()}; }

inline reference::Rows as_rows(std::span<const float> v, std::size_t cols) {
    reference::Rows r(v.size() / cols, cols);
    std::copy(v.begin(), v.end(), r.values.begin());
    return r;
}

}  // namespace qwen3vl::testing
