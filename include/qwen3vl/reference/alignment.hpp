#pragma once
#include <algorithm>
#include <cmath>
#include <qwen3vl/reference/matmul.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// Cosine of two rows after their projections [rank, hidden].
inline double projected_cosine(const Rows& a, const std::vector<double>& x, const Rows& b,
                               const std::vector<double>& y) {
    double xy = 0, xx = 0, yy = 0;
    for (std::size_t r = 0; r < a.rows; ++r) {
        double u = 0, v = 0;
        for (std::size_t c = 0; c < x.size(); ++c) {
            u += a.at(r, c) * x[c];
            v += b.at(r, c) * y[c];
        }
        xy += u * v;
        xx += u * u;
        yy += v * v;
    }
    return xy / std::sqrt(xx * yy);
}

/// The score of a phrase and a picture by late interaction: the mean over the words of each one's largest cosine (Yao
/// et al., 2021, "FILIP", equations 4 and 5).
inline double late_interaction(const Rows& text, const std::vector<std::vector<double>>& words, const Rows& visual,
                               const std::vector<std::vector<double>>& regions) {
    double sum = 0;
    for (const auto& word : words) {
        double best = -1;
        for (const auto& region : regions) best = std::max(best, projected_cosine(text, word, visual, region));
        sum += best;
    }
    return sum / static_cast<double>(words.size());
}

}  // namespace qwen3vl::reference
