#pragma once
#include <qwen3vl/reference/matmul.hpp>
#include <qwen3vl/reference/norm.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// Weights of a tensor fusion of rank R, as fusion::Bilinear names them; the core [R, R * R] is empty where the tensor
/// is a sum of products.
struct BilinearWeights {
    std::vector<double> norm, text_bias, visual_bias;
    Rows text, visual, out, core;
};

/// What the joining of a text row x with pooled features z adds to x: the whole tensor, element by element (Liu et al.,
/// 2018, "Low-rank multimodal fusion", equation 2, decomposed as in 4; Ben-Younes et al., 2017, "MUTAN", equation 5).
inline std::vector<double> bilinear(const std::vector<double>& x, const std::vector<double>& z,
                                    const BilinearWeights& w, double eps) {
    const std::size_t rank = w.text.rows;
    const auto normed = rms_norm(x, w.norm, eps);
    std::vector<double> a = w.text_bias, b = w.visual_bias, h(rank), out(x.size());
    for (std::size_t r = 0; r < rank; ++r)
        for (std::size_t c = 0; c < x.size(); ++c) {
            a[r] += w.text.at(r, c) * normed[c];
            b[r] += w.visual.at(r, c) * z[c];
        }
    for (std::size_t t = 0; t < rank; ++t)
        for (std::size_t i = 0; i < rank; ++i)
            for (std::size_t j = 0; j < rank; ++j) {
                const double core =
                    w.core.rows == 0 ? static_cast<double>(t == i && t == j) : w.core.at(t, i * rank + j);
                h[t] += core * a[i] * b[j];
            }
    for (std::size_t c = 0; c < x.size(); ++c)
        for (std::size_t r = 0; r < rank; ++r) out[c] += w.out.at(c, r) * h[r];
    return out;
}

}  // namespace qwen3vl::reference
