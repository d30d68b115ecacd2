#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/position/position.hpp>
#include <qwen3vl/reference/position.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "catch.hpp"

using namespace qwen3vl;
using testing::float_roundoff;

namespace {

/// What a text policy computes, in double: its frequencies, the factor on cosines and sines, the base that its float32
/// powers are of, and how far it may be from the exact cosine of its own angle.
template <class P>
struct Oracle {
    static std::vector<double> frequencies(const TextDims& d) {
        return reference::inverse_frequencies(d.rope_theta, d.head_dim);
    }
    static double theta(const TextDims& d) { return d.rope_theta; }
    static constexpr double factor = 1, error = 0;
};
template <class Base, Factor F>
struct Oracle<position::NTK<Base, F>> : Oracle<Base> {
    static double theta(const TextDims& d) { return reference::ntk_theta(d.rope_theta, d.head_dim, F.n); }
    static std::vector<double> frequencies(const TextDims& d) {
        return reference::inverse_frequencies(theta(d), d.head_dim);
    }
};
template <class Base, YarnOptions O>
struct Oracle<position::YaRN<Base, O>> : Oracle<Base> {
    static std::vector<double> frequencies(const TextDims& d) {
        return reference::yarn_frequencies(d.rope_theta, d.head_dim, O.factor, O.trained ? O.trained : d.max_positions,
                                           O.beta_fast, O.beta_slow);
    }
    static inline const double factor = reference::yarn_attention_factor(O.factor);
};
template <class Base, Entries E>
struct Oracle<position::Approximate<Base, E>> : Oracle<Base> {
    static constexpr double error = 1e-6;  // its docstring, with 256 entries
};

/// Cosines and sines against those of the exact angles, times a factor. The policies compute an angle in float32, as
/// the reference does: the exponent, the power, the reciprocal and the product round, the exponent's rounding counting
/// log(theta) times; the function's derivative is at most 1. A scaled policy rounds its frequency once more, and cosine
/// and sine with the factor.
void check(const std::vector<float>& cosines, const std::vector<float>& sines, const std::vector<double>& expected,
           double theta, double factor = 1, double error = 0) {
    REQUIRE(expected.size() == cosines.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double tolerance =
            factor *
            (float_roundoff * (expected[i] * (3 + (factor > 1) + std::log(theta)) + 2 + 2 * (factor > 1)) + error);
        CAPTURE(i, expected[i], tolerance);
        CHECK(std::abs(static_cast<double>(cosines[i]) - factor * std::cos(expected[i])) <= tolerance);
        CHECK(std::abs(static_cast<double>(sines[i]) - factor * std::sin(expected[i])) <= tolerance);
    }
}

/// Cosines, then sines, of one token.
template <class P>
std::vector<float> text_angles(const TextDims& d, const std::array<int, 3>& position) {
    const auto frequencies = position::frequencies<P>(d, d.head_dim);
    std::vector<float> out(2 * frequencies.size());
    position::text_angles<arch::native, P>(d, frequencies, position, out.data(), out.data() + frequencies.size());
    return out;
}

/// Text, pictures, and both far behind.
constexpr std::array<int, 3> positions[] = {{0, 0, 0},
                                            {1, 2, 3},
                                            {5, 17, 250},
                                            {77, 77, 77},
                                            {4000, 4001, 4090},
                                            {262143, 7, 262143},
                                            {262143, 262143, 262143}};

template <class P>
void check_text(TextDims d) {
    if (!P::multimodal) d.mrope_section = {0, 0, 0};
    for (const auto& position : positions) {
        CAPTURE(position[0], position[1], position[2]);
        const auto found = text_angles<P>(d, position);
        const auto half = static_cast<std::ptrdiff_t>(found.size() / 2);
        const auto expected = reference::mrope_angles(d, Oracle<P>::frequencies(d), position);
        check({found.begin(), found.begin() + half}, {found.begin() + half, found.end()}, expected, Oracle<P>::theta(d),
              Oracle<P>::factor, Oracle<P>::error);
    }
}

/// A decoder whose heads have no even number of pairs.
TextDims odd_dims() {
    TextDims d = models::Plain::text;
    d.head_dim = 22;
    return d;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("text positions turn by their oracle's angles", "", testing::tuple_t<position::text_all>) {
    using Position = typename TestType::type;
    static_assert(concepts::TextPosition<Position>);
    for_each_type<models::shipped_and_golden>([](auto tag) {
        using D = typename decltype(tag)::type;
        CAPTURE(D::name);
        check_text<Position>(D::text);
    });
    check_text<Position>(odd_dims());
}

TEMPLATE_TEST_CASE("scaled positions turn by their oracle's angles", "", (position::NTK<position::Rope, Factor{2.5}>),
                   (position::NTK<position::MRopeInterleaved, Factor{1000}>),
                   (position::YaRN<position::Rope, YarnOptions{.factor = 2.5}>),
                   (position::YaRN<position::MRopeInterleaved,
                                   YarnOptions{.factor = 8, .trained = 1000, .beta_fast = 16, .beta_slow = 2}>),
                   (position::YaRN<position::Rope, YarnOptions{.factor = 2, .trained = 7}>),  // every pair but the
                                                                                              // first is slowed down
                   (position::Approximate<position::YaRN<position::MRopeInterleaved, YarnOptions{.factor = 4}>>),
                   (position::YaRN<position::Approximate<position::Rope>, YarnOptions{.factor = 4}>),
                   (position::NTK<position::Approximate<position::MRopeInterleaved>, Factor{4}>)) {
    for_each_type<models::shipped_and_golden>([](auto tag) { check_text<TestType>(decltype(tag)::type::text); });
    check_text<TestType>(odd_dims());
}

TEMPLATE_TEST_CASE("a factor of 1 is the base policy, bit by bit", "",
                   (position::NTK<position::MRopeInterleaved, Factor{}>),
                   (position::YaRN<position::MRopeInterleaved, YarnOptions{}>)) {
    for_each_type<models::shipped_and_golden>([](auto tag) {
        constexpr TextDims d = decltype(tag)::type::text;
        for (const auto& position : positions)
            CHECK(testing::same_bits(text_angles<TestType>(d, position),
                                     text_angles<position::MRopeInterleaved>(d, position)));
        STATIC_REQUIRE(TestType::max_positions(d) == d.max_positions);
    });
}

TEST_CASE("YaRN of the 2B at a factor of 3") {
    constexpr TextDims d = models::Qwen3VL_2B::text;
    using P = position::YaRN<position::MRopeInterleaved, YarnOptions{.factor = 3}>;
    // _compute_yarn_parameters in Python's doubles; the ramp is from pair 29 to pair 45
    for (const auto& [pair, frequency] : {std::pair(0, 1.0), std::pair(1, 0.7858299804196346),
                                          std::pair(29, 0.0009215718846001798), std::pair(30, 0.0006940238653627015),
                                          std::pair(37, 8.934427050788132e-05), std::pair(44, 9.300137932991301e-06),
                                          std::pair(45, 6.496290853139959e-06), std::pair(63, 8.483599293458687e-08)})
        CHECK(std::abs(static_cast<double>(P::frequency(d, pair)) / frequency - 1) <=
              float_roundoff * (3 + std::log(d.rope_theta)));
    CHECK(std::abs(static_cast<double>(P::attention_factor()) - 1.109861228866811) <= 2 * float_roundoff);
}

TEST_CASE("NTK slows the slowest pair by its factor") {
    constexpr TextDims d = models::Qwen3VL_2B::text;
    using P = position::NTK<position::MRopeInterleaved, Factor{4}>;
    CHECK(P::frequency(d, 0) == 1.0f);
    for (const auto& [pair, frequency] :
         {std::pair(1, 0.7687269129489495), std::pair(32, 0.0002211600850440081), std::pair(63, 6.362699470094017e-08)})
        CHECK(std::abs(static_cast<double>(P::frequency(d, pair)) / frequency - 1) <=
              float_roundoff * (3 + std::log(4 * d.rope_theta)));
    const double slowed =
        static_cast<double>(position::MRopeInterleaved::frequency(d, 63)) / static_cast<double>(P::frequency(d, 63));
    CHECK(std::abs(slowed - 4) <= 4 * 2 * float_roundoff * (3 + std::log(4 * d.rope_theta)));
}

TEST_CASE("scaled positions count further") {
    constexpr TextDims d = models::Qwen3VL_2B::text;
    using Base = position::MRopeInterleaved;
    STATIC_REQUIRE(position::NTK<Base, Factor{2.5}>::max_positions(d) == 655360);
    STATIC_REQUIRE(position::YaRN<Base, YarnOptions{.factor = 4}>::max_positions(d) == 1048576);
    STATIC_REQUIRE(position::YaRN<Base, YarnOptions{.factor = 4, .trained = 100000}>::max_positions(d) == 400000);
    STATIC_REQUIRE(position::YaRN<Base, YarnOptions{.factor = 2, .trained = 1000}>::max_positions(d) ==
                   d.max_positions);
    STATIC_REQUIRE(position::NTK<Base, Factor{1e300}>::max_positions(d) == 1 << 24);
    STATIC_REQUIRE(position::Approximate<position::NTK<Base, Factor{2}>>::max_positions(d) == 524288);
}

TEST_CASE("the interleaving of Qwen3-VL") {
    constexpr TextDims d = models::Qwen3VL_2B::text;  // sections 24, 20, 20 over 64 pairs
    int of_axis[3] = {};
    for (int i = 0; i < 64; ++i) ++of_axis[position::MRopeInterleaved::axis(d, i)];
    CHECK(of_axis[0] == 24);
    CHECK(of_axis[1] == 20);
    CHECK(of_axis[2] == 20);
    CHECK(position::MRopeInterleaved::axis(d, 1) == 1);
    CHECK(position::MRopeInterleaved::axis(d, 2) == 2);
    CHECK(position::MRopeInterleaved::axis(d, 59) == 2);
    for (int i = 60; i < 64; ++i) CHECK(position::MRopeInterleaved::axis(d, i) == 0);
}

TEMPLATE_LIST_TEST_CASE("vision positions turn by their oracle's angles", "", testing::tuple_t<position::vision_all>) {
    using Rotary = typename TestType::type::rotary;
    static_assert(concepts::VisionPosition<typename TestType::type>);
    for_each_type<list<models::Tiny, models::Tall, models::Shapes, models::Qwen3VL_2B, models::Qwen3VL_8B>>(
        [](auto tag) {
            constexpr VisionDims d = decltype(tag)::type::vision;
            for (const auto& [row, column] :
                 {std::pair(0, 0), std::pair(1, 0), std::pair(0, 1), std::pair(13, 40), std::pair(255, 3)}) {
                const auto frequencies = position::frequencies<Rotary>(d, d.head_dim());
                std::vector<float> cosines(frequencies.size()), sines(frequencies.size());
                position::angles<Rotary>(d, frequencies, std::array{row, column}, cosines.data(), sines.data());
                check(cosines, sines, reference::axial_angles(d, row, column), d.rope_theta);
            }
        });
}

TEMPLATE_LIST_TEST_CASE("a vision table is read where its oracle reads it", "",
                        testing::tuple_t<position::vision_all>) {
    using Table = typename TestType::type::table;
    for (int side : {1, 2, 6, 8, 12, 48})
        for (int n = 1; n <= 130; ++n)
            for (int i = 0; i < n; ++i) {
                const auto s = Table::sample(i, n, side);
                CAPTURE(side, n, i, s.low, s.high, s.weight);
                REQUIRE((s.low >= 0 && s.low < side && s.high >= s.low && s.high <= std::min(s.low + 1, side - 1)));
                REQUIRE((s.weight >= 0.0f && s.weight < 1.0f));
                // the step, its multiple and the difference from the end round, each by at most a roundoff of side
                REQUIRE(std::abs(s.low + static_cast<double>(s.weight) - reference::table_coordinate(i, n, side)) <=
                        3 * float_roundoff * side);
            }
}

TEMPLATE_LIST_TEST_CASE("a table pinned at its ends: the corners are the corners", "",
                        testing::tuple_t<position::vision_all>) {
    using Table = typename TestType::type::table;
    for (int n = 2; n <= 64; ++n) {
        const auto first = Table::sample(0, n, 48), last = Table::sample(n - 1, n, 48);
        CHECK((first.low == 0 && first.weight == 0.0f));
        CHECK((last.low == 47 && last.weight == 0.0f));
    }
}
