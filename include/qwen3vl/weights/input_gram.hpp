#pragma once
#include <algorithm>
#include <cstdint>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <vector>

/// Second moments of the activations that a matrix is multiplied with, and their use in rounding its weights.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Mean products of a matrix's inputs x, the activations: values [cols, block]. Row i holds the means of x_i x_j for
/// the columns j of i's block. Blocks begin at multiples of `block` columns; entries beyond the last column are zero.
struct InputGram {
    std::string file, name;            ///< for messages
    std::vector<float> values;         ///< [cols, block]
    std::int64_t cols = 0, block = 0;  ///< of the matrix; of a block
};

/// Columns of a block: whole groups of every integer format.
inline constexpr std::int64_t least_gram_block = 128, largest_gram_block = 1024;

/// Factors by which a rounding error moves the weights of later columns (Frantar et al., 2023, "GPTQ", as successive
/// rounding to the nearest plane). The block's moments are H = M D M^T, M upper triangular with ones on its diagonal.
/// With e the errors of a row of weights, the squared error of an output is sum over j of d_j (e_j + sum over i < j of
/// e_i m_ij)^2. Rounding column j's weight + sum e_i m_ij, instead of the weight, keeps every term small.
struct ErrorFeedback {
    std::vector<float> carry;     ///< M, [cols, block]
    std::vector<float> variance;  ///< D, [cols], in a unit of its own: the importance of each column once those behind
                                  ///< it have made up for what they can
    std::int64_t block = 0;       ///< columns of a block
};

/// Factorises every block, after adding a hundredth of its diagonal's mean to the diagonal, as GPTQ does: inputs that
/// look dependent in a small set need not be. Throws LoadError where a block is not positive semidefinite.
template <class Team>
ErrorFeedback error_feedback(const InputGram& m, Team& team) {
    const std::int64_t b = m.block;
    ErrorFeedback f{std::vector<float>(m.values.size()), std::vector<float>(static_cast<std::size_t>(m.cols)), b};
    team.run(ceil_div(m.cols, b), [&](std::int64_t index, int) {
        const std::int64_t first = index * b, n = std::min(b, m.cols - first);
        std::vector<double> h(static_cast<std::size_t>(n * n)),
            column(static_cast<std::size_t>(n));  // h becomes M above its diagonal, which becomes D
        const auto at = [&](std::int64_t i, std::int64_t j) -> double& {
            return h[static_cast<std::size_t>(i * n + j)];
        };
        double mean = 0;
        for (std::int64_t i = 0; i < n; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
                at(i, j) = static_cast<double>(m.values[static_cast<std::size_t>((first + i) * b + j)]);
                if (i == j) mean += at(i, j) / static_cast<double>(n);
            }
        const double damping = mean > 0 ? 0.01 * mean : 1.0;
        for (std::int64_t i = 0; i < n; ++i) at(i, i) += damping;
        for (std::int64_t j = n; j-- > 0;) {
            const double d = at(j, j);
            if (!(d > 0.5 * damping))
                throw LoadError(m.file, m.name, "mean products of activations",
                                "a matrix that is not positive semidefinite");
            for (std::int64_t i = 0; i < j; ++i) column[static_cast<std::size_t>(i)] = at(i, j);
            for (std::int64_t i = 0; i < j; ++i) {
                at(i, j) /= d;
                for (std::int64_t k = i; k < j; ++k) at(i, k) -= at(i, j) * column[static_cast<std::size_t>(k)];
            }
        }
        for (std::int64_t i = 0; i < n; ++i) {
            f.variance[static_cast<std::size_t>(first + i)] = static_cast<float>(at(i, i) / damping);
            for (std::int64_t j = i + 1; j < n; ++j)
                f.carry[static_cast<std::size_t>((first + i) * b + j)] = static_cast<float>(at(i, j));
        }
    });
    return f;
}

}  // namespace qwen3vl::weights
