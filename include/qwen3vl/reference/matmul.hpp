#pragma once
#include <cstddef>
#include <qwen3vl/core/config.hpp>
#include <vector>

/// Plain scalar double oracles for the tests: written from the papers and the reference's source, for reading and not
/// for speed.
namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// Row-major doubles.
struct Rows {
    std::size_t rows = 0, cols = 0;
    std::vector<double> values;

    Rows(std::size_t r, std::size_t c) : rows(r), cols(c), values(r * c) {}
    double& at(std::size_t r, std::size_t c) { return values[r * cols + c]; }
    double at(std::size_t r, std::size_t c) const { return values[r * cols + c]; }
};

/// x [m, k] · w [n, k]^T: a dense layer without bias (torch.nn.functional.linear).
inline Rows matmul(const Rows& x, const Rows& w) {
    Rows y(x.rows, w.rows);
    for (std::size_t i = 0; i < x.rows; ++i)
        for (std::size_t j = 0; j < w.rows; ++j)
            for (std::size_t k = 0; k < x.cols; ++k) y.at(i, j) += x.at(i, k) * w.at(j, k);
    return y;
}

}  // namespace qwen3vl::reference
