#include <qwen3vl/image/resample.hpp>
#include "catch.hpp"
#include "picture_files.hpp"

using namespace qwen3vl;

namespace resample_test {
/// One axis in plain doubles, straight from the definition: output i is the mean of the input weighted by the kernel,
/// widened by the scale where it shrinks; rounded to bytes.
std::vector<double> resized(const std::vector<double>& in, int output) {
    const double scale = static_cast<double>(in.size()) / output, widening = std::max(scale, 1.0);
    std::vector<double> out;
    for (int i = 0; i < output; ++i) {
        const double centre = (i + 0.5) * scale;
        double sum = 0, total = 0;
        for (std::size_t k = 0; k < in.size(); ++k) {
            const double x = std::abs((static_cast<double>(k) + 0.5 - centre) / widening);
            const double w = x < 1   ? 1.5 * x * x * x - 2.5 * x * x + 1
                             : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2
                                     : 0;
            sum += w * in[k], total += w;
        }
        out.push_back(std::clamp(std::floor(sum / total + 0.5), 0.0, 255.0));
    }
    return out;
}

std::vector<double> resized(const Image& image, int width, int height) {
    std::vector<double> out(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
    for (std::size_t c = 0; c < 3; ++c) {
        std::vector<std::vector<double>> rows;
        for (int y = 0; y < image.height(); ++y) {
            std::vector<double> row;
            for (std::size_t x = 0; x < static_cast<std::size_t>(image.width()); ++x)
                row.push_back(image.row(y)[x * 3 + c]);
            rows.push_back(resized(row, width));
        }
        for (std::size_t x = 0; x < static_cast<std::size_t>(width); ++x) {
            std::vector<double> column;
            for (const auto& row : rows) column.push_back(row[x]);
            const auto result = resized(column, height);
            for (std::size_t y = 0; y < result.size(); ++y)
                out[(y * static_cast<std::size_t>(width) + x) * 3 + c] = result[y];
        }
    }
    return out;
}

TEST_CASE("resize_bicubic agrees with its definition") {
    const std::array<int, 2> sizes[][2] = {{{1, 1}, {32, 32}},   {{1, 7}, {3, 1}},     {{40, 30}, {40, 30}},
                                           {{40, 30}, {17, 30}}, {{40, 30}, {40, 61}}, {{97, 61}, {32, 64}},
                                           {{13, 200}, {32, 9}}};
    for (const auto& [from, to] : sizes) {
        CAPTURE(from, to);
        const auto image = Image::from_rgb(from[0], from[1], pictures::noise(from[0], from[1], 3));
        const auto ours = image::resize_bicubic(image, to[0], to[1]);
        const auto expected = resized(image, to[0], to[1]);
        REQUIRE(ours.pixels().size() == expected.size());
        int different = 0;
        double largest = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double d = std::abs(ours.pixels()[i] - expected[i]);
            largest = std::max(largest, d);
            different += d > 0;
        }
        // 16-bit weights: a value that lies within 2^-7 or so of a rounding boundary may fall on the other side, on
        // either axis
        CHECK(largest <= 2);
        CHECK(different <= static_cast<int>(expected.size()) / 20);
    }
}

TEST_CASE("resize_bicubic keeps a plain picture plain") {
    const auto plain = Image::from_gray(123, 45, std::vector<std::uint8_t>(123 * 45, 201));
    for (const auto& [width, height] : {std::pair{32, 32}, {200, 7}, {1, 300}}) {
        const auto resized_plain = image::resize_bicubic(plain, width, height);
        CHECK(
            std::all_of(resized_plain.pixels().begin(), resized_plain.pixels().end(), [](int v) { return v == 201; }));
    }
    CHECK_THROWS_AS(image::resize_bicubic(plain, 0, 5), ImageError);
}

TEST_CASE("cubic weights sum to one and use the int16 range") {
    for (const auto& [input, output] : {std::pair{4000, 1184}, {7, 400}, {1, 32}, {100000, 3}}) {
        const auto axis = image::cubic_weights(input, output);
        for (std::size_t i = 0; i < static_cast<std::size_t>(output); ++i) {
            int sum = 0;
            for (int k = 0; k < axis.count[i]; ++k)
                sum += axis.weights[i * static_cast<std::size_t>(axis.taps) + static_cast<std::size_t>(k)];
            CHECK(axis.first[i] >= 0);
            CHECK(axis.first[i] + axis.count[i] <= input);
            CHECK(std::abs(sum - (1 << axis.precision)) <=
                  (axis.count[i] + 1) / 2);  // half a unit for each weight's rounding
        }
    }
}

}  // namespace resample_test
