#pragma once
#include <cmath>
#include <cstdint>
#include <qwen3vl/testing/rng.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// Random orthonormal rows [heads, n, n] (Gram and Schmidt), as the tables of kv_cache::LowRank.
inline std::vector<float> orthonormal(std::int64_t heads, std::int64_t n, std::uint64_t seed) {
    Rng random(seed);
    std::vector<float> all;
    for (std::int64_t h = 0; h < heads; ++h) {
        std::vector<std::vector<double>> rows;
        for (std::int64_t r = 0; r < n; ++r) {
            std::vector<double> row(static_cast<std::size_t>(n));
            for (double& x : row) x = static_cast<double>(random.signed_unit());
            for (int again = 0; again < 2; ++again)  // the second time, for what rounding left
                for (const auto& other : rows) {
                    double along = 0;
                    for (std::size_t c = 0; c < row.size(); ++c) along += row[c] * other[c];
                    for (std::size_t c = 0; c < row.size(); ++c) row[c] -= along * other[c];
                }
            double square = 0;
            for (const double x : row) square += x * x;
            for (double& x : row) x /= std::sqrt(square);
            all.insert(all.end(), row.begin(), row.end());
            rows.push_back(std::move(row));
        }
    }
    return all;
}

}  // namespace qwen3vl::testing
