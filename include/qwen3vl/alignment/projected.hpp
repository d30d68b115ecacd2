#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <qwen3vl/alignment/none.hpp>
#include <qwen3vl/alignment/similarity.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/rank.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::alignment {

/// Phrases and regions of a picture in one space of R directions, by trained projections of a phrase's last hidden
/// states w [words, hidden] and a picture's features v [regions, hidden]:
///
///     regions[k] = cos(text(mean of w), visual(v[k]))
///     score      = mean over the words i of the maximum over k of cos(text(w[i]), visual(v[k]))
///
/// The score is late interaction (Yao et al., 2021, "FILIP", equations 4 and 5, from text to picture). The decoder's
/// input stays as it is. align() (chat/align.hpp) takes a picture and a phrase.
///     Policies<>::with_alignment<alignment::Projected<Rank{64}>>
template <Rank R>
struct Projected : None {
    static constexpr const char* name = "Projected";
    static constexpr std::int64_t rank = R.n;  ///< directions of the space
    static_assert(rank > 0, "qwen3vl: slot alignment: Projected has a Rank above 0");

    /// Parameters by name under `alignment.`.
    template <class M, class V>
    struct Parameters {
        V text{}, visual{};  ///< [R, hidden] twice
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& dims, P& p, F&& f) {
        f("alignment.text.weight", Shape{rank, dims.text.hidden}, p.text);
        f("alignment.visual.weight", Shape{rank, dims.text.hidden}, p.visual);
    }

    /// Compares a phrase's words [words, hidden] with regions [regions, hidden]; both have at least one row.
    template <class P>
    static Similarity compare(const P& p, ConstMatrix words, ConstMatrix regions) {
        std::vector<double> mean(static_cast<std::size_t>(words.cols));
        for (std::int64_t i = 0; i < words.rows; ++i)
            for (std::int64_t c = 0; c < words.cols; ++c)
                mean[static_cast<std::size_t>(c)] +=
                    static_cast<double>(words.row(i)[c]) / static_cast<double>(words.rows);
        const std::vector<float> pooled(mean.begin(), mean.end());
        const Directions phrase = direction(p.text, pooled.data(), words.cols);
        std::vector<Directions> each;
        for (std::int64_t i = 0; i < words.rows; ++i) each.push_back(direction(p.text, words.row(i), words.cols));
        std::vector<float> best(each.size(), -1.0f);
        Similarity found;
        for (std::int64_t k = 0; k < regions.rows; ++k) {
            const Directions region = direction(p.visual, regions.row(k), regions.cols);
            found.regions.push_back(dot(phrase, region));
            for (std::size_t i = 0; i < each.size(); ++i) best[i] = std::max(best[i], dot(each[i], region));
        }
        for (const float b : best) found.score += b / static_cast<float>(best.size());
        return found;
    }

  private:
    using Directions = std::array<float, static_cast<std::size_t>(rank)>;

    /// A row projected, scaled to length 1.
    template <class V>
    static Directions direction(const V& matrix, const float* row, std::int64_t hidden) {
        Directions out{};
        double squares = 0;
        for (std::int64_t r = 0; r < rank; ++r) {
            double sum = 0;
            const float* weights = matrix.data() + r * hidden;
            for (std::int64_t c = 0; c < hidden; ++c)
                sum += static_cast<double>(weights[c]) * static_cast<double>(row[c]);
            out[static_cast<std::size_t>(r)] = static_cast<float>(sum);
            squares += sum * sum;
        }
        const auto scale = static_cast<float>(1.0 / std::sqrt(std::max(squares, 1e-24)));
        for (float& x : out) x *= scale;
        return out;
    }
    static float dot(const Directions& a, const Directions& b) {
        float sum = 0;
        for (std::size_t r = 0; r < a.size(); ++r) sum += a[r] * b[r];
        return std::clamp(sum, -1.0f, 1.0f);
    }
};

}  // namespace qwen3vl::alignment
