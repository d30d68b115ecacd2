#pragma once
#include <algorithm>
#include <cmath>
#include <qwen3vl/image/image.hpp>

/// Antialiased bicubic resampling of 8-bit pictures with the arithmetic of the reference: PyTorch's
/// `interpolate(mode="bicubic", antialias=True)` on uint8 (ATen/native/cpu/UpSampleKernel.cpp,
/// `compute_index_ranges_int16_weights`), which torchvision calls.
namespace qwen3vl::inline QWEN3VL_ABI::image {

/// For every output position of one axis, the input range it reads and its weights of type `W`: in fixed point, or
/// double, which add up to 1.
template <class W>
struct ResampleWeights {
    int taps = 0;                   ///< row length of `weights`
    int precision = 0;              ///< weights are multiples of 2^-precision; 0 for double
    std::vector<int> first, count;  ///< [output]
    std::vector<W> weights;         ///< [output, taps], zero beyond count
};

/// Keys' cubic convolution kernel with a = -0.5 (Catmull-Rom), the one PIL and PyTorch use where they antialias.
inline double cubic_kernel(double x) {
    constexpr double a = -0.5;
    x = std::abs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0;
}

/// The weights for an axis of `input` samples resized to `output`, as they are.
inline ResampleWeights<double> exact_cubic_weights(int input, int output) {
    const double scale = static_cast<double>(input) / output, inverse = scale >= 1 ? 1 / scale : 1;
    const double support = scale >= 1 ? 2 * scale : 2;
    ResampleWeights<double> result;
    result.taps = static_cast<int>(std::ceil(static_cast<float>(support))) * 2 + 1;
    const auto outputs = static_cast<std::size_t>(output), taps = static_cast<std::size_t>(result.taps);
    result.first.resize(outputs);
    result.count.resize(outputs);
    result.weights.resize(outputs * taps);
    for (std::size_t i = 0; i < outputs; ++i) {
        const double centre = scale * (static_cast<double>(i) + 0.5);
        const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
        const int count = std::clamp(std::min(static_cast<int>(centre + support + 0.5), input) - first, 0, result.taps);
        double* w = result.weights.data() + i * taps;
        double total = 0;
        for (int k = 0; k < count; ++k) total += w[k] = cubic_kernel((k + first - centre + 0.5) * inverse);
        for (int k = 0; k < count; ++k) w[k] /= total;
        result.first[i] = first;
        result.count[i] = count;
    }
    return result;
}

/// The same in fixed point: int16 as PyTorch has them, int32 as Pillow has.
template <class W = std::int16_t>
ResampleWeights<W> cubic_weights(int input, int output) {
    auto exact = exact_cubic_weights(input, output);
    ResampleWeights<W> result{exact.taps, 0, std::move(exact.first), std::move(exact.count), {}};
    result.weights.resize(exact.weights.size());
    const double largest = std::max(0.0, *std::max_element(exact.weights.begin(), exact.weights.end()));
    // the finest step at which the largest weight still fits an int16; an int32 is wide enough for each
    while (result.precision < 22 && (sizeof(W) > sizeof(std::int16_t) ||
                                     static_cast<int>(0.5 + largest * (1 << (result.precision + 1))) < (1 << 15)))
        ++result.precision;
    for (std::size_t i = 0; i < exact.weights.size(); ++i)
        result.weights[i] = static_cast<W>(
            static_cast<int>((exact.weights[i] < 0 ? -0.5 : 0.5) + exact.weights[i] * (1 << result.precision)));
    return result;
}

namespace detail {

inline std::uint8_t clamped_byte(int value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }

template <class W>
Image resized_horizontally(const Image& image, int width) {
    const auto axis = cubic_weights<W>(image.width(), width);
    const int half = 1 << (axis.precision - 1);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(image.height()) * static_cast<std::size_t>(width) * 3);
    std::uint8_t* to = out.data();
    for (int y = 0; y < image.height(); ++y) {
        for (std::size_t x = 0; x < static_cast<std::size_t>(width); ++x, to += 3) {
            const std::uint8_t* from = image.row(y) + std::ptrdiff_t{3} * axis.first[x];
            const W* w = axis.weights.data() + x * static_cast<std::size_t>(axis.taps);
            int red = half, green = half, blue = half;
            for (int k = 0; k < axis.count[x]; ++k, from += 3)
                red += w[k] * from[0], green += w[k] * from[1], blue += w[k] * from[2];
            to[0] = clamped_byte(red >> axis.precision), to[1] = clamped_byte(green >> axis.precision),
            to[2] = clamped_byte(blue >> axis.precision);
        }
    }
    return Image::from_rgb(width, image.height(), std::move(out));
}

template <class W>
Image resized_vertically(const Image& image, int height) {
    const auto axis = cubic_weights<W>(image.height(), height);
    const auto stride = static_cast<std::size_t>(image.width()) * 3;
    std::vector<std::uint8_t> out(static_cast<std::size_t>(height) * stride);
    std::vector<int> sums(stride);
    for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
        sums.assign(stride, 1 << (axis.precision - 1));
        for (int k = 0; k < axis.count[y]; ++k) {
            const int w = axis.weights[y * static_cast<std::size_t>(axis.taps) + static_cast<std::size_t>(k)];
            const std::uint8_t* from = image.row(axis.first[y] + k);
            for (std::size_t x = 0; x < stride; ++x) sums[x] += w * from[x];
        }
        for (std::size_t x = 0; x < stride; ++x) out[y * stride + x] = clamped_byte(sums[x] >> axis.precision);
    }
    return Image::from_rgb(image.width(), height, std::move(out));
}

}  // namespace detail

/// The picture stretched to width x height: horizontally, rounded to bytes, then vertically; an axis that keeps its
/// size is left alone. Weights are int16 as PyTorch's, or int32: then the result is that of Pillow's `Image.resize`
/// (libImaging/Resample.c). Needs [image.height, width, 3] bytes besides its result. Throws ImageError where a side is
/// below 1.
template <class W = std::int16_t>
Image resize_bicubic(const Image& image, int width, int height) {
    if (width < 1 || height < 1)
        throw ImageError("expected a size of at least 1 x 1 to resize to, found " + std::to_string(width) + " x " +
                         std::to_string(height));
    if (width == image.width()) return height == image.height() ? image : detail::resized_vertically<W>(image, height);
    if (height == image.height()) return detail::resized_horizontally<W>(image, width);
    return detail::resized_vertically<W>(detail::resized_horizontally<W>(image, width), height);
}

/// The picture stretched to width x height as PyTorch does for float32, and torchvision's `resize` for frames of a
/// clip: nothing is rounded between the axes. Throws as resize_bicubic().
inline Image resize_bicubic_unrounded(const Image& image, int width, int height) {
    if (width < 1 || height < 1) return resize_bicubic(image, width, height);
    const auto across = exact_cubic_weights(image.width(), width), down = exact_cubic_weights(image.height(), height);
    const auto stride = static_cast<std::size_t>(width) * 3;
    std::vector<float> rows(static_cast<std::size_t>(image.height()) * stride);
    for (std::size_t y = 0; y < static_cast<std::size_t>(image.height()); ++y)
        for (std::size_t x = 0; x < static_cast<std::size_t>(width); ++x)
            for (std::size_t c = 0; c < 3; ++c) {
                float sum = 0;
                for (std::size_t k = 0; k < static_cast<std::size_t>(across.count[x]); ++k)
                    sum += static_cast<float>(across.weights[x * static_cast<std::size_t>(across.taps) + k]) *
                           static_cast<float>(
                               image.row(static_cast<int>(y))[(static_cast<std::size_t>(across.first[x]) + k) * 3 + c]);
                rows[y * stride + x * 3 + c] = sum;
            }
    std::vector<std::uint8_t> out(static_cast<std::size_t>(height) * stride);
    std::vector<float> sums(stride);
    for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
        sums.assign(stride, 0.0f);
        for (std::size_t k = 0; k < static_cast<std::size_t>(down.count[y]); ++k) {
            const auto w = static_cast<float>(down.weights[y * static_cast<std::size_t>(down.taps) + k]);
            const float* from = rows.data() + (static_cast<std::size_t>(down.first[y]) + k) * stride;
            for (std::size_t x = 0; x < stride; ++x) sums[x] += w * from[x];
        }
        for (std::size_t x = 0; x < stride; ++x)
            out[y * stride + x] = static_cast<std::uint8_t>(std::nearbyint(std::clamp(sums[x], 0.0f, 255.0f)));
    }
    return Image::from_rgb(width, height, std::move(out));
}

}  // namespace qwen3vl::image
