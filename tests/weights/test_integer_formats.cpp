#include "test_dense.hpp"

using namespace qwen3vl;
using namespace qwen3vl_test;

using Formats = std::tuple<
    weights::Int8<>, weights::Int8<Group{32}>, weights::Int8<Group{128}>, weights::Int4<>, weights::Int4<Group{64}>,
    weights::Int4<Group{128}>, weights::Int4<Group{32}, weights::ZeroPoint::asymmetric>,
    weights::Int4<Group{64}, weights::ZeroPoint::asymmetric>, weights::NF4<>, weights::NF4<weights::Scales::bits8>>;

namespace {

/// Activations as they are after quantisation: to 127 steps of the largest magnitude of each group.
std::vector<float> quantised(const std::vector<float>& x, std::int64_t k, std::int64_t group) {
    auto out = x;
    for (std::size_t row = 0; row < x.size(); row += static_cast<std::size_t>(k))
        for (std::int64_t c = 0; c < k; c += group) {
            const auto begin = row + static_cast<std::size_t>(c),
                       end = begin + static_cast<std::size_t>(std::min(group, k - c));
            float largest = 0.0f;
            for (auto i = begin; i < end; ++i) largest = std::max(largest, std::abs(x[i]));
            for (auto i = begin; i < end; ++i)
                out[i] = largest > 0 ? std::nearbyint(x[i] * (127.0f / largest)) * (largest / 127.0f) : 0.0f;
        }
    return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a weight is off by half a step of its group at most", "", Formats) {
    using F = weights::integer_format<TestType>;
    execution::Threads<>::Team team(2);
    for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{3, 7}, {19, 64}, {33, 200}, {5, 1100}}) {
        CAPTURE(TestType::name, rows, cols);
        auto values = testing::Rng(3).floats(static_cast<std::size_t>(rows * cols));
        for (std::int64_t c = 0; c < cols; ++c) values[static_cast<std::size_t>(c)] *= 1e-3f;  // a row of small weights
        for (std::int64_t c = 0; c < cols; ++c)
            values[static_cast<std::size_t>((rows - 1) * cols + c)] = 0.0f;  // and one of none
        const StoredTensor stored(values, DType::f32, rows);
        const auto m = weights::load<Arch, TestType>(stored.view, "w", rows, cols, team);
        const auto found = dequantised<TestType>(m);
        const std::int64_t group = F::group > 0 ? F::group : cols;
        double worst = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
            float row_largest = 0;
            for (std::int64_t c = 0; c < cols; ++c)
                row_largest = std::max(row_largest, std::abs(values[static_cast<std::size_t>(r * cols + c)]));
            for (std::int64_t g = 0; g < cols; g += group) {
                float low = 0, high = 0;
                for (std::int64_t c = g; c < std::min(cols, g + group); ++c) {
                    low = std::min(low, values[static_cast<std::size_t>(r * cols + c)]);
                    high = std::max(high, values[static_cast<std::size_t>(r * cols + c)]);
                }
                const float largest = std::max(-low, high);
                // half a step of the codes (the widest gap of NF4's quantiles is 0.31), and what rounding a scale moves
                // the last code by
                float step = largest / 127.0f;
                if (std::is_same_v<typename F::Codes, weights::Nf4Codes>) step = 0.31f * largest;
                if (std::is_same_v<typename F::Codes, weights::NibbleCodes>)
                    step = F::Kind::minimum ? (high - low) / 15.0f : 2 * largest / 8.0f;
                const float rounding = F::scales == weights::Scales::bits8 ? row_largest / 255.0f : largest / 512.0f;
                for (std::int64_t c = g; c < std::min(cols, g + group); ++c) {
                    const auto i = static_cast<std::size_t>(r * cols + c);
                    const double error = std::abs(static_cast<double>(found[i]) - static_cast<double>(values[i]));
                    worst = std::max(worst, error - 0.5001 * static_cast<double>(step) - static_cast<double>(rounding));
                }
            }
        }
        CHECK(worst <= 0);
        CHECK(std::all_of(found.end() - cols, found.end(), [](float v) { return v == 0.0f; }));
    }
}

TEMPLATE_LIST_TEST_CASE("integer dense layers equal their oracle and depend on neither rows nor threads", "", Formats) {
    using F = weights::integer_format<TestType>;
    check_dense<TestType>([](std::int64_t m, std::int64_t n, std::int64_t k, const weights::WeightMatrix& matrix,
                             const std::vector<float>& x, const std::vector<float>& y) {
        const std::int64_t group = F::group > 0 ? F::group : 128;
        // sums are exact within a group; scales and their products round, once for each group of 32 columns at most
        const double depth = 8 + static_cast<double>(k) / 32;
        CHECK(is_product(y, quantised(x, k, group), m, dequantised<TestType>(matrix), n, k,
                         depth * testing::float_roundoff));
    });
}

TEMPLATE_LIST_TEST_CASE("numbers that no scale can hold are refused", "", Formats) {
    execution::Serial::Team team(1);
    for (const float bad : {HUGE_VALF, -HUGE_VALF, std::nanf(""), 1e6f}) {
        const StoredTensor stored({1.0f, bad, 0.5f, 2.0f}, DType::f32, 2);
        CHECK_THROWS_AS((weights::load<Arch, TestType>(stored.view, "w", 2, 2, team)), LoadError);
        CHECK_THROWS_WITH((weights::load<Arch, TestType>(stored.view, "w", 2, 2, team)),
                          Catch::Contains("'w'") && Catch::Contains("finite"));
    }
}

TEST_CASE("the NF4 codebook is its quantiles rounded to 1/127") {
    for (std::size_t i = 0; i < 16; ++i)
        CHECK(std::abs(static_cast<float>(weights::nf4_codebook[i] - 128) / 127.0f - weights::nf4_quantiles[i]) <=
              0.5001f / 127.0f);
}
