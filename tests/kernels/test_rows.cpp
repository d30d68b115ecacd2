#include <qwen3vl/kernels/rows.hpp>
#include <qwen3vl/reference/position.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include "arch_test.hpp"

using namespace qwen3vl;
using qwen3vl_test::sum_depth;
using testing::float_roundoff;

namespace rows_test {
/// Every remainder modulo the vector, and some longer rows.
template <class F>
void for_lengths(F&& f) {
    for (std::int64_t n = 1; n <= 3 * Arch::floats + 1; ++n) f(n);
    for (std::int64_t n : {191, 1000, 2048}) f(n);
}

TEST_CASE("add_row and scale_row round once an element") {
    for_lengths([](std::int64_t n) {
        testing::Rng rng(static_cast<std::uint64_t>(n));
        const auto x = rng.floats(static_cast<std::size_t>(n));
        auto y = rng.floats(static_cast<std::size_t>(n));
        auto expected = y;
        for (std::size_t i = 0; i < x.size(); ++i) expected[i] = (expected[i] + x[i]) * 1.7f;
        kernels::add_row<Arch>(x.data(), n, y.data());
        kernels::scale_row<Arch>(1.7f, n, y.data());
        CHECK(testing::same_bits(y, expected));
    });
}

TEST_CASE("max_row finds the largest wherever it is") {
    CHECK(kernels::max_row<Arch>(nullptr, 0) == -std::numeric_limits<float>::infinity());
    for_lengths([](std::int64_t n) {
        auto x = testing::Rng(3).floats(static_cast<std::size_t>(n));
        for (std::size_t at : {std::size_t{0}, x.size() / 2, x.size() - 1}) {
            auto peaked = x;
            peaked[at] = 2.0f;
            CHECK(kernels::max_row<Arch>(peaked.data(), n) == 2.0f);
        }
        const std::vector<float> hidden(x.size(), -std::numeric_limits<float>::infinity());
        CHECK(kernels::max_row<Arch>(hidden.data(), n) == -std::numeric_limits<float>::infinity());
    });
}

TEST_CASE("exp_row exponentiates and sums") {
    for_lengths([](std::int64_t n) {
        auto x = testing::Rng(4).floats(static_cast<std::size_t>(n), 30.0f);
        x[x.size() / 2] = -std::numeric_limits<float>::infinity();  // a hidden key
        const auto before = x;
        const float shift = 29.5f;
        const float sum = kernels::exp_row<Arch>(x.data(), shift, n);
        double expected_sum = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double e = std::exp(static_cast<double>(before[i]) - static_cast<double>(shift));
            // x - shift is rounded, and that difference becomes a relative one; the exponential itself is good to two
            // units in the last place
            const double tolerance =
                e > 0 ? e * float_roundoff * static_cast<double>(std::abs(before[i] - shift) + 4) : 0;
            CHECK(std::abs(static_cast<double>(x[i]) - e) <= tolerance);
            expected_sum += static_cast<double>(x[i]);
        }
        // all addends are positive: each rounding is at most that of the sum
        CHECK(std::abs(static_cast<double>(sum) - expected_sum) <= expected_sum * float_roundoff * sum_depth(n));
        CHECK(x[x.size() / 2] == 0.0f);
    });
}

TEST_CASE("rotate_row turns pairs, in place too") {
    for_lengths([](std::int64_t half) {
        testing::Rng rng(5);
        const auto h = static_cast<std::size_t>(half);
        const auto x = rng.floats(2 * h), turns = rng.floats(h, 3.0f);
        std::vector<float> cosines(h), sines(h), out(2 * h);
        for (std::size_t i = 0; i < h; ++i) {
            cosines[i] = std::cos(turns[i]);
            sines[i] = std::sin(turns[i]);
        }
        kernels::rotate_row<Arch>(x.data(), cosines.data(), sines.data(), half, out.data());
        const auto expected = reference::rotate(testing::as_doubles(x), testing::as_doubles(turns));
        // numbers within 1: two products, their sum and the two rounded functions, each at most one rounding of a
        // number below 2
        CHECK(testing::largest_difference(out, expected) <= 2 * 5 * float_roundoff);
        auto in_place = x;
        kernels::rotate_row<Arch>(in_place.data(), cosines.data(), sines.data(), half, in_place.data());
        CHECK(testing::same_bits(in_place, out));
    });
}

}  // namespace rows_test
