#include <qwen3vl/image/heat.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace test_image_heat_test {

Colour pixel(const Image& image, int x, int y) {
    const std::uint8_t* p = image.row(y) + 3 * x;
    return {p[0], p[1], p[2]};
}
Colour half(Colour heat) {
    return {static_cast<std::uint8_t>(heat.red / 2), static_cast<std::uint8_t>(heat.green / 2),
            static_cast<std::uint8_t>(heat.blue / 2)};
}

TEST_CASE("a map lies over its regions, the legend below") {
    const auto black = Image::from_rgb(10, 6, std::vector<std::uint8_t>(180));
    const std::vector<float> scores{0, 0.5f, 1, 2, -3, 0};  // what is above and below the range has the ends' colours
    const auto out = image::with_heat(black, 2, 3, scores, 0, 1);
    CHECK(out.width() == 10);
    CHECK(out.height() == 6 + image::heat_legend);
    const auto low = image::heat_colour(0), high = image::heat_colour(1);
    CHECK(low == Colour{20, 20, 120});
    CHECK(high == Colour{230, 30, 30});
    CHECK(image::heat_colour(0.25f) == Colour{20, 160, 220});
    CHECK(pixel(out, 0, 0) == half(low));
    CHECK(pixel(out, 3, 2) == half(low));  // the columns part at 10/3 and 20/3
    CHECK(pixel(out, 4, 2) == half(image::heat_colour(0.5f)));
    CHECK(pixel(out, 9, 0) == half(high));
    CHECK(pixel(out, 0, 3) == half(high));
    CHECK(pixel(out, 5, 5) == half(low));
    CHECK(pixel(out, 0, 6) == low);
    CHECK(pixel(out, 9, out.height() - 1) == high);
    CHECK_THROWS_AS(image::with_heat(black, 2, 2, scores, 0, 1), ImageError);
    CHECK_THROWS_AS(image::with_heat(black, 0, 3, {}, 0, 1), ImageError);
    CHECK_NOTHROW(image::with_heat(black, 2, 3, scores, 1, 1));  // all of one colour
}

}  // namespace test_image_heat_test
