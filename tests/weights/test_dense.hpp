#pragma once
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "arch_test.hpp"
#include "stored_tensor.hpp"

/// What every format's dense layers must do, whatever its numbers.
namespace qwen3vl_test {

/// Calls check(m, n, k, matrix, x, y) for odd and even extents, after it has seen that y's bits depend on neither rows
/// nor threads.
template <class Format, class Check>
void check_dense(Check&& check) {
    using namespace qwen3vl;
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto one = [&](std::int64_t m, std::int64_t n, std::int64_t k) {
        CAPTURE(Format::name, m, n, k);
        testing::Rng rng(static_cast<std::uint64_t>(m + n + k));
        const auto w = rng.floats(static_cast<std::size_t>(n * k)), x = rng.floats(static_cast<std::size_t>(m * k));
        const StoredTensor stored(w, DType::f32, n);
        const auto matrix = weights::load<Arch, Format>(stored.view, "w", n, k, threads);
        const auto y = product<Arch, Format>(serial, x, m, matrix);
        CHECK(testing::same_bits(y, product<Arch, Format>(threads, x, m, matrix)));
        std::vector<float> rows;
        for (std::int64_t i = 0; i < m; ++i) {
            const auto row = product<Arch, Format>(serial, {x.begin() + i * k, x.begin() + (i + 1) * k}, 1, matrix);
            rows.insert(rows.end(), row.begin(), row.end());
        }
        CHECK(testing::same_bits(y, rows));
        check(m, n, k, matrix, x, y);
    };
    one(1, 1, 1);
    for (std::int64_t k : {15, 16, 17, 31, 32, 33, 63, 65}) one(2, 3, k);
    for (std::int64_t n : {15, 17, 127, 128, 129, 257}) one(3, n, 21);
    for (std::int64_t m : {4, 5, 6, 11, 12, 13, 16, 18, 95, 96, 97, 113, 193}) one(m, 19, 40);
    one(7, 40, 1030);
    one(14, 20, 2050);
}

/// The matrix's rows as the format gives them back.
template <class Format>
std::vector<float> dequantised(const qwen3vl::weights::WeightMatrix& w) {
    std::vector<float> out(static_cast<std::size_t>(w.rows() * w.cols()));
    for (std::int64_t r = 0; r < w.rows(); ++r)
        qwen3vl::weights::traits<Format>::template row<Arch>(w, r, out.data() + r * w.cols());
    return out;
}

/// Whether y is x · w^T within `relative` times the sum of the products' magnitudes.
inline bool is_product(const std::vector<float>& y, const std::vector<float>& x, std::int64_t m,
                       const std::vector<float>& w, std::int64_t n, std::int64_t k, double relative) {
    for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t j = 0; j < n; ++j) {
            double sum = 0, magnitude = 0;
            for (std::int64_t c = 0; c < k; ++c) {
                const double p = static_cast<double>(x[static_cast<std::size_t>(i * k + c)]) *
                                 static_cast<double>(w[static_cast<std::size_t>(j * k + c)]);
                sum += p;
                magnitude += std::abs(p);
            }
            if (!(std::abs(static_cast<double>(y[static_cast<std::size_t>(i * n + j)]) - sum) <= relative * magnitude))
                return false;
        }
    return static_cast<std::int64_t>(y.size()) == m * n;
}

}  // namespace qwen3vl_test
