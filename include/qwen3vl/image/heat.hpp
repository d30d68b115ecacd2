#pragma once
#include <algorithm>
#include <array>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/image/image.hpp>
#include <span>

/// Maps of scores over a picture.
namespace qwen3vl::inline QWEN3VL_ABI::image {

/// Colour of a score from 0 to 1: dark blue, cyan, green, yellow, red.
inline Colour heat_colour(float score) {
    constexpr std::array<std::array<float, 3>, 5> stops{
        {{20, 20, 120}, {20, 160, 220}, {60, 190, 80}, {250, 220, 40}, {230, 30, 30}}};
    const float at = std::clamp(score, 0.0f, 1.0f) * (stops.size() - 1);
    const auto low = std::min(static_cast<std::size_t>(at), stops.size() - 2);
    const float part = at - static_cast<float>(low);
    const auto mix = [&](std::size_t c) {
        return static_cast<std::uint8_t>(stops[low][c] + part * (stops[low + 1][c] - stops[low][c]) + 0.5f);
    };
    return {mix(0), mix(1), mix(2)};
}

/// Rows of pixels that with_heat() puts below a picture.
inline constexpr int heat_legend = 12;

/// The picture under the colours of scores [rows, columns] of its regions, from `low` to `high`; below it a legend of
/// heat_legend rows, with the colour of `low` at the left and that of `high` at the right. Throws ImageError where
/// there are not rows * columns scores.
inline Image with_heat(const Image& picture, int rows, int columns, std::span<const float> scores, float low,
                       float high) {
    if (rows < 1 || columns < 1 || std::ssize(scores) != std::int64_t{rows} * columns)
        throw ImageError("with_heat(): expected " + std::to_string(rows) + " x " + std::to_string(columns) +
                         " scores, found " + std::to_string(scores.size()));
    const int width = picture.width(), height = picture.height();
    Image out = Image::from_rgb(width, height + heat_legend,
                                std::vector<std::uint8_t>(static_cast<std::size_t>(width) *
                                                          static_cast<std::size_t>(height + heat_legend) * 3));
    const float range = std::max(high - low, 1e-6f);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            const std::int64_t region = std::int64_t{y} * rows / height * columns + std::int64_t{x} * columns / width;
            const Colour heat = heat_colour((scores[static_cast<std::size_t>(region)] - low) / range);
            const std::uint8_t* from = picture.row(y) + 3 * x;
            std::uint8_t* to = out.row(y) + 3 * x;
            const std::array<std::uint8_t, 3> colour{heat.red, heat.green, heat.blue};
            for (std::size_t c = 0; c < 3; ++c) to[c] = static_cast<std::uint8_t>((from[c] + colour[c]) / 2);
        }
    for (int y = height; y < height + heat_legend; ++y)
        for (int x = 0; x < width; ++x) {
            const Colour heat = heat_colour(static_cast<float>(x) / static_cast<float>(std::max(width - 1, 1)));
            std::uint8_t* to = out.row(y) + 3 * x;
            to[0] = heat.red, to[1] = heat.green, to[2] = heat.blue;
        }
    return out;
}

}  // namespace qwen3vl::image
