#include <qwen3vl/kernels/panel.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include "arch_test.hpp"

using namespace qwen3vl;
using qwen3vl_test::sum_depth;
using testing::float_roundoff;

namespace panel_test {

struct Extents {
    std::int64_t m, n, k;
};

template <class Element>
std::vector<Element> converted(const std::vector<float>& v) {
    std::vector<Element> out;
    for (const float x : v) out.push_back(Element(x));
    return out;
}

template <class Element>
void check_panel(const Extents& e) {
    CAPTURE(e.m, e.n, e.k, sizeof(Element));
    testing::Rng rng(static_cast<std::uint64_t>(e.m * 1000003 + e.n * 1009 + e.k));
    const std::int64_t xs = e.k + 3, os = e.n + 2;  // strides beyond the rows
    const auto x = rng.floats(static_cast<std::size_t>((e.m - 1) * xs + e.k));
    const auto w = converted<Element>(rng.floats(static_cast<std::size_t>(e.n * e.k)));
    std::vector<float> out(static_cast<std::size_t>(e.m * os), 99.0f);
    kernels::panel<Arch>(x.data(), xs, e.m, w.data(), e.k, e.n, e.k, out.data(), os);
    // the product, where there is no fma; the sum over vectors and lanes; one addition for each panel
    const double depth = 1 + sum_depth(e.k) + static_cast<double>(e.k / kernels::panel_columns + 1);
    for (std::int64_t i = 0; i < e.m; ++i)
        for (std::int64_t j = 0; j < os; ++j) {
            const float found = out[static_cast<std::size_t>(i * os + j)];
            if (j >= e.n) {
                REQUIRE(found == 99.0f);
                continue;
            }
            double expected = 0, magnitude = 0;
            for (std::int64_t c = 0; c < e.k; ++c) {
                const double product =
                    static_cast<double>(x[static_cast<std::size_t>(i * xs + c)]) *
                    static_cast<double>(static_cast<float>(w[static_cast<std::size_t>(j * e.k + c)]));
                expected += product;
                magnitude += std::abs(product);
            }
            REQUIRE(std::abs(static_cast<double>(found) - expected) <= depth * float_roundoff * magnitude);
            float alone = 0;
            kernels::panel<Arch>(x.data() + i * xs, xs, 1, w.data() + j * e.k, e.k, 1, e.k, &alone, 1);
            REQUIRE(std::bit_cast<std::uint32_t>(alone) ==
                    std::bit_cast<std::uint32_t>(found));  // the same bits wherever the row stands
        }
}

template <class Element>
void check_panels() {
    for (std::int64_t k = 1; k <= 2 * Arch::floats + 1; ++k) check_panel<Element>({7, 9, k});
    for (std::int64_t m = 1; m <= 2 * kernels::tile_x<Arch> + 1; ++m)
        for (std::int64_t n : {1, 2, 3, 4, 5, 8, 11, 17}) check_panel<Element>({m, n, 37});
    for (std::int64_t k : {1023, 1024, 1025, 2500}) check_panel<Element>({3, 5, k});
    check_panel<Element>({2, 600, 129});  // more rows of w than a strip
}

TEST_CASE("panel multiplies float32 rows") { check_panels<float>(); }
TEST_CASE("panel multiplies bf16 rows") { check_panels<bf16>(); }
TEST_CASE("panel multiplies f16 rows") { check_panels<f16>(); }

}  // namespace panel_test
