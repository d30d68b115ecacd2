#pragma once
#include <cmath>
#include <qwen3vl/reference/activation.hpp>
#include <qwen3vl/reference/attention.hpp>
#include <qwen3vl/reference/norm.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// Weights of a gated cross-attention, as fusion::CrossAttention names them.
struct CrossAttentionWeights {
    std::vector<double> norm, ffn_norm, q_norm, k_norm;
    Rows q, k, v, o, gate_proj, up, down;
    double gate = 0, ffn_gate = 0;
};

/// Norms each row of x, each group of weight.size() columns apart.
inline Rows norm_rows(const Rows& x, const std::vector<double>& weight, double eps) {
    Rows out(x.rows, x.cols);
    for (std::size_t at = 0; at < x.values.size(); at += weight.size()) {
        const auto begin = x.values.begin() + static_cast<std::ptrdiff_t>(at);
        const auto row = rms_norm({begin, begin + static_cast<std::ptrdiff_t>(weight.size())}, weight, eps);
        std::copy(row.begin(), row.end(), out.values.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return out;
}

/// Gated cross-attention of x [tokens, hidden] to visual rows [keys, hidden], and its gated feed-forward layer (Alayrac
/// et al., 2022, "Flamingo", section 2.2), with queries and keys normed by head. Token t sees the first seen[t] rows;
/// one that sees none stays as it is.
inline Rows cross_attention(Rows x, const Rows& visual, const std::vector<std::size_t>& seen,
                            const CrossAttentionWeights& w, double eps) {
    const std::size_t head_dim = w.q_norm.size(), group = w.q.rows / w.k.rows;
    const auto add = [&](const Rows& what, double gate) {
        for (std::size_t t = 0; t < x.rows; ++t)
            for (std::size_t c = 0; c < x.cols && seen[t] > 0; ++c) x.at(t, c) += std::tanh(gate) * what.at(t, c);
    };
    const Rows queries = norm_rows(matmul(norm_rows(x, w.norm, eps), w.q), w.q_norm, eps),
               keys = norm_rows(matmul(visual, w.k), w.k_norm, eps);
    const Rows attended = attention(queries, keys, matmul(visual, w.v), head_dim, group, 0,
                                    [&](std::size_t t, std::size_t k) { return seen[t] == 0 || k < seen[t]; });
    add(matmul(attended, w.o), w.gate);
    const Rows normed = norm_rows(x, w.ffn_norm, eps);
    Rows inner = matmul(normed, w.gate_proj);
    const Rows up = matmul(normed, w.up);
    for (std::size_t i = 0; i < inner.values.size(); ++i) inner.values[i] = swiglu(inner.values[i], up.values[i]);
    add(matmul(inner, w.down), w.ffn_gate);
    return x;
}

}  // namespace qwen3vl::reference
