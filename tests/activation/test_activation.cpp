#include <qwen3vl/activation/activation.hpp>
#include <qwen3vl/reference/activation.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "arch_test.hpp"

using namespace qwen3vl;
using testing::float_roundoff;

namespace {

struct Expected {
    double value, tolerance;
};

/// exp(-x) of a rounded argument is off by |x| roundings, the function itself by two units in the last place; a sum, a
/// quotient and a product follow. The smallest normal number covers results that round to zero.
Expected expected(type_tag<activation::SwiGLU>, double gate, double up) {
    const double y = reference::swiglu(gate, up);
    return {y, std::abs(y) * float_roundoff * 12 + 0x1p-126 * 256};
}
/// As above with the argument of the exponential, 2 sqrt(2/pi) (x + 0.044715 x^3), in place of x: its own four
/// roundings count |argument| times.
Expected expected(type_tag<activation::GeluTanh>, double x, double) {
    const double y = reference::gelu_tanh(x), argument = 1.6 * (std::abs(x) + 0.044715 * std::abs(x * x * x));
    return {y, std::abs(y) * float_roundoff * (4 * argument + 12) + 0x1p-126 * 256};
}
/// 1 + erf(…) cancels for negative x, so that its error counts absolutely: the rounded argument of erf (at most 2
/// roundings of a result within 1), four units in the last place of erf, the sum and the products, all times |x| / 2.
Expected expected(type_tag<activation::GeluExact>, double x, double) {
    return {reference::gelu_exact(x), std::abs(x) * float_roundoff * 8};
}

template <class Activation>
std::vector<float> run(const std::vector<float>& x, const std::vector<float>& up) {
    std::vector<float> out(x.size());
    const auto n = static_cast<std::int64_t>(x.size());
    if constexpr (Activation::gated)
        Activation::template row<Arch>(x.data(), up.data(), n, out.data());
    else
        Activation::template row<Arch>(x.data(), n, out.data());
    return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("an activation equals its oracle", "", testing::tuple_t<activation::all>) {
    using Activation = typename TestType::type;
    const auto check = [](const std::vector<float>& x) {
        const auto up = testing::Rng(6).floats(x.size(), 3.0f);
        const auto out = run<Activation>(x, up);
        for (std::size_t i = 0; i < x.size(); ++i) {
            const auto e = expected(TestType{}, x[i], up[i]);
            CAPTURE(Activation::name, x[i], out[i], e.value, e.tolerance);
            REQUIRE(std::abs(static_cast<double>(out[i]) - e.value) <= e.tolerance);
        }
    };
    for (std::size_t n = 1; n <= 3 * Arch::floats + 1; ++n) check(testing::Rng(n).floats(n, 4.0f));
    std::vector<float> line;
    for (int i = -4000; i <= 4000; ++i) line.push_back(static_cast<float>(i) * 0.01f);  // -40 … 40
    for (float x : {-1e30f, -1000.0f, -100.0f, 100.0f, 1000.0f, 0.0f, -0.0f, 1e-30f}) line.push_back(x);
    check(line);
}

TEMPLATE_LIST_TEST_CASE("an activation may write over its input", "", testing::tuple_t<activation::all>) {
    using Activation = typename TestType::type;
    const auto x = testing::Rng(7).floats(37, 4.0f), up = testing::Rng(8).floats(37);
    const auto out = run<Activation>(x, up);
    auto first = x, second = up;
    if constexpr (Activation::gated) {
        Activation::template row<Arch>(first.data(), up.data(), 37, first.data());
        Activation::template row<Arch>(x.data(), second.data(), 37, second.data());
        CHECK(testing::same_bits(second, out));
    } else {
        Activation::template row<Arch>(first.data(), 37, first.data());
    }
    CHECK(testing::same_bits(first, out));
}
