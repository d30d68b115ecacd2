#pragma once
#include <cmath>
#include <cstdint>
#include <qwen3vl/core/features.hpp>
#include <vector>

/// Scores of how much there is to see in a picture, from its features alone.
namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// What a score is made of; each lies in [0, 1].
enum class ComplexityScore {
    spread,  ///< 1 - |mean of the visual tokens|^2 / mean of their |.|^2: 0 where all are the same
    edges    ///< entropy of the distances between tokens side by side or one above the other, over its largest: 0
             ///< where one edge is all there is, 1 where every two neighbours differ alike
};

/// A score, and from where on a picture counts as complex.
struct Complexity {
    ComplexityScore score = ComplexityScore::spread;  ///< how it is measured
    float threshold = 0.5f;                           ///< complex above it
};

namespace detail {
inline double spread_of(const VisualFeatures& f, std::int64_t first, std::int64_t count) {
    double of_mean = 0, squares = 0;
    for (std::int64_t c = 0; c < f.width; ++c) {
        double sum = 0;
        for (std::int64_t t = first; t < first + count; ++t) {
            const auto x = static_cast<double>(f.embedding_row(t)[c]);
            sum += x;
            squares += x * x;
        }
        of_mean += sum * sum;
    }
    return squares > 0 ? 1 - of_mean / (static_cast<double>(count) * squares) : 0;
}
inline double distance(const VisualFeatures& f, std::int64_t a, std::int64_t b) {
    double sum = 0;
    for (std::int64_t c = 0; c < f.width; ++c) {
        const double d = static_cast<double>(f.embedding_row(a)[c]) - static_cast<double>(f.embedding_row(b)[c]);
        sum += d * d;
    }
    return std::sqrt(sum);
}
inline double edges_of(const VisualFeatures& f, std::int64_t first, std::int64_t count) {
    const std::int64_t across = f.places.empty() ? f.grid.w / f.merge : count;
    double sum = 0, logs = 0;  // entropy = log(sum) - logs / sum, with logs = sum of d log d
    std::int64_t edges = 0;
    const auto add = [&](std::int64_t a, std::int64_t b) {
        const double d = distance(f, first + a, first + b);
        sum += d;
        logs += d > 0 ? d * std::log(d) : 0;
        ++edges;
    };
    for (std::int64_t t = 0; t < count; ++t) {
        if (t % across + 1 < across && t + 1 < count) add(t, t + 1);
        if (t + across < count) add(t, t + across);
    }
    return edges > 1 && sum > 0 ? (std::log(sum) - logs / sum) / std::log(static_cast<double>(edges)) : 0;
}
}  // namespace detail

/// Score of rows [first, first + count) of a picture's features, one picture or frame pair. Tokens that a
/// token-reduction policy left count as neighbours in their order.
inline float complexity_of(ComplexityScore score, const VisualFeatures& f, std::int64_t first, std::int64_t count) {
    return static_cast<float>(score == ComplexityScore::spread ? detail::spread_of(f, first, count)
                                                               : detail::edges_of(f, first, count));
}

}  // namespace qwen3vl::fusion
