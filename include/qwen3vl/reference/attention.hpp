#pragma once
#include <limits>
#include <qwen3vl/reference/matmul.hpp>
#include <qwen3vl/reference/softmax.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// A temperature of 1 for every query and key.
struct NoTemperature {
    double operator()(std::size_t /*query*/, std::size_t /*key*/) const { return 1; }
};

/// Scaled dot-product attention of several heads (Vaswani et al., 2017, eq. 1), query head h reading key/value head h /
/// group (Ainslie et al., 2023, "GQA"). `queries` is [tokens, heads * head_dim], `keys` and `values` [keys, heads /
/// group * head_dim]. Query token t is at sequence index first + t and sees key k where visible(first + t, k); its
/// score is divided by temperature(first + t, k) too. Returns [tokens, heads * head_dim].
template <class Visible, class Temperature = NoTemperature>
Rows attention(const Rows& queries, const Rows& keys, const Rows& values, std::size_t head_dim, std::size_t group,
               std::size_t first, Visible&& visible, Temperature&& temperature = {}) {
    Rows out(queries.rows, queries.cols);
    for (std::size_t h = 0; h < queries.cols / head_dim; ++h) {
        const std::size_t q = h * head_dim, kv = h / group * head_dim;
        for (std::size_t t = 0; t < queries.rows; ++t) {
            std::vector<double> scores(keys.rows, -std::numeric_limits<double>::infinity());
            for (std::size_t k = 0; k < keys.rows; ++k) {
                if (!visible(first + t, k)) continue;
                scores[k] = 0;
                for (std::size_t c = 0; c < head_dim; ++c)
                    scores[k] += queries.at(t, q + c) * keys.at(k, kv + c) / std::sqrt(static_cast<double>(head_dim));
                scores[k] /= temperature(first + t, k);
            }
            const auto p = softmax(scores);
            for (std::size_t k = 0; k < keys.rows; ++k)
                for (std::size_t c = 0; c < head_dim; ++c) out.at(t, q + c) += p[k] * values.at(k, kv + c);
        }
    }
    return out;
}

}  // namespace qwen3vl::reference
