#include <cmath>
#include <qwen3vl/norm/norm.hpp>
#include <qwen3vl/reference/norm.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "arch_test.hpp"

using namespace qwen3vl;
using testing::float_roundoff;

namespace {

std::vector<double> oracle(type_tag<norm::RMSNorm>, const std::vector<double>& x, const std::vector<double>& w,
                           const std::vector<double>&, double eps) {
    return reference::rms_norm(x, w, eps);
}
std::vector<double> oracle(type_tag<norm::LayerNorm>, const std::vector<double>& x, const std::vector<double>& w,
                           const std::vector<double>& b, double eps) {
    return reference::layer_norm(x, w, b, eps);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a norm equals its oracle", "", testing::tuple_t<norm::all>) {
    using Norm = typename TestType::type;
    const auto check = [](std::int64_t n, float middle) {
        CAPTURE(Norm::name, n, middle);
        testing::Rng rng(static_cast<std::uint64_t>(n));
        const auto size = static_cast<std::size_t>(n);
        auto x = rng.floats(size);
        for (float& v : x) v += middle;
        const auto weight = rng.floats(size, 2.0f), bias = rng.floats(size);
        const float eps = 1e-6f;
        std::vector<float> out(size);
        const float* b = Norm::has_bias ? bias.data() : nullptr;
        Norm::template row<Arch>(x.data(), weight.data(), b, eps, n, out.data());
        const auto expected =
            oracle(TestType{}, testing::as_doubles(x), testing::as_doubles(weight), testing::as_doubles(bias), eps);
        // The sums' roundings are relative to the largest |x|, and dividing by the root scales them with the result:
        // the mean (LayerNorm) is off by depth * u * |x|, which at least sqrt(eps) divides; the root by half of that;
        // six more roundings follow.
        double deviation = 0, mean = 0;
        for (const float v : x) mean += Norm::has_bias ? static_cast<double>(v) / static_cast<double>(n) : 0.0;
        for (const float v : x) deviation += std::pow(static_cast<double>(v) - mean, 2) / static_cast<double>(n);
        const double largest = testing::largest_magnitude(x),
                     gain = largest / std::sqrt(deviation + static_cast<double>(eps));
        const double tolerance = float_roundoff * (2 * qwen3vl_test::sum_depth(n) + 6) * 2 * (gain + 1);
        CHECK(testing::largest_difference(out, expected) <= tolerance);
        auto in_place = x;
        Norm::template row<Arch>(in_place.data(), weight.data(), b, eps, n, in_place.data());
        CHECK(testing::same_bits(in_place, out));
    };
    for (std::int64_t n = 1; n <= 3 * Arch::floats + 1; ++n) {
        check(n, 0.0f);
        check(n, 5.0f);
    }
    for (std::int64_t n : {72, 96, 1024, 2048, 4100}) check(n, 0.5f);
}

TEMPLATE_LIST_TEST_CASE("a norm of zeros is finite", "", testing::tuple_t<norm::all>) {
    using Norm = typename TestType::type;
    const std::vector<float> zeros(33, 0.0f), ones(33, 1.0f);
    std::vector<float> out(33, 9.0f);
    Norm::template row<Arch>(zeros.data(), ones.data(), zeros.data(), 1e-6f, 33, out.data());
    CHECK(out == zeros);
}
