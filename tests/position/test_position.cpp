#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/position/position.hpp>
#include <qwen3vl/reference/position.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "catch.hpp"

using namespace qwen3vl;
using testing::float_roundoff;

namespace {

/// Cosines and sines against those of the exact angles. The policies compute an angle in float32, as the reference does: the exponent, the power, the
/// reciprocal and the product round, the exponent's rounding counting log(theta) times; the function's derivative is at most 1.
template <class Rotary, class D, class Position>
void check_angles(const D& dims, double theta, int head_dim, const Position& position, const std::vector<double>& expected) {
    const auto frequencies = position::frequencies<Rotary>(dims, head_dim);
    std::vector<float> cosines(frequencies.size()), sines(frequencies.size());
    position::angles<Rotary>(dims, frequencies, position, cosines.data(), sines.data());
    REQUIRE(expected.size() == frequencies.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double tolerance = float_roundoff * (expected[i] * (3 + std::log(theta)) + 2);
        CAPTURE(i, expected[i], tolerance);
        CHECK(std::abs(cosines[i] - std::cos(expected[i])) <= tolerance);
        CHECK(std::abs(sines[i] - std::sin(expected[i])) <= tolerance);
    }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("text positions turn by their oracle's angles", "", testing::tuple_t<position::text_all>) {
    using Position = typename TestType::type;
    static_assert(concepts::TextPosition<Position>);
    for_each_type<models::all>([](auto tag) {
        using D = typename decltype(tag)::type;
        TextDims d = D::text;
        if (!Position::multimodal) d.mrope_section = {0, 0, 0};
        for (const std::array<int, 3> position :
             {std::array{0, 0, 0}, std::array{1, 2, 3}, std::array{5, 17, 250}, std::array{4000, 4001, 4090}, std::array{262143, 7, 262143}}) {
            CAPTURE(D::name, position[0], position[1], position[2]);
            check_angles<Position>(d, d.rope_theta, d.head_dim, position, reference::mrope_angles(d, position));
        }
    });
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
    for_each_type<list<models::Tiny, models::Tall, models::Shapes, models::Qwen3VL_2B, models::Qwen3VL_8B>>([](auto tag) {
        constexpr VisionDims d = decltype(tag)::type::vision;
        for (const auto& [row, column] : {std::pair(0, 0), std::pair(1, 0), std::pair(0, 1), std::pair(13, 40), std::pair(255, 3)})
            check_angles<Rotary>(d, d.rope_theta, d.head_dim(), std::array{row, column}, reference::axial_angles(d, row, column));
    });
}

TEMPLATE_LIST_TEST_CASE("a vision table is read where its oracle reads it", "", testing::tuple_t<position::vision_all>) {
    using Table = typename TestType::type::table;
    for (int side : {1, 2, 6, 8, 12, 48})
        for (int n = 1; n <= 130; ++n)
            for (int i = 0; i < n; ++i) {
                const auto s = Table::sample(i, n, side);
                CAPTURE(side, n, i, s.low, s.high, s.weight);
                REQUIRE((s.low >= 0 && s.low < side && s.high >= s.low && s.high <= std::min(s.low + 1, side - 1)));
                REQUIRE((s.weight >= 0.0f && s.weight < 1.0f));
                // the step, its multiple and the difference from the end round, each by at most a roundoff of side
                REQUIRE(std::abs(s.low + static_cast<double>(s.weight) - reference::table_coordinate(i, n, side)) <= 3 * float_roundoff * side);
            }
}

TEMPLATE_LIST_TEST_CASE("a table pinned at its ends: the corners are the corners", "", testing::tuple_t<position::vision_all>) {
    using Table = typename TestType::type::table;
    for (int n = 2; n <= 64; ++n) {
        const auto first = Table::sample(0, n, 48), last = Table::sample(n - 1, n, 48);
        CHECK((first.low == 0 && first.weight == 0.0f));
        CHECK((last.low == 47 && last.weight == 0.0f));
    }
}
