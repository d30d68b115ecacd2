#pragma once
#include <qwen3vl/core/grid.hpp>
#include <qwen3vl/image/resample.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Layout of pixels in rows of patches, of pictures and clips alike. The defaults are the released Qwen3-VL
/// checkpoints'.
struct PatchLayout {
    int patch = 16;                            ///< patch_size: pixels of a patch's side
    int merge = 2;                             ///< merge_size: patches of a token's side
    int temporal_patch = 2;                    ///< temporal_patch_size: frames of a patch
    std::array<float, 3> mean{.5f, .5f, .5f};  ///< image_mean, of values 0 to 1
    std::array<float, 3> std{.5f, .5f, .5f};   ///< image_std
    double rescale_factor = 1 / 255.0;         ///< of a byte, before mean and std

    /// Pixels of a token's side: sizes are multiples of it.
    int factor() const { return patch * merge; }
    /// Floats of one row of Patches::values.
    std::size_t row_floats() const { return std::size_t{3} * static_cast<std::size_t>(temporal_patch * patch * patch); }
    bool operator==(const PatchLayout&) const = default;
};

/// preprocessor_config.json.
struct PreprocessorConfig {
    PatchLayout layout = {};             ///< sizes of patches and tokens, and how values are normalised
    std::int64_t min_pixels = 65536;     ///< size.shortest_edge or min_pixels: the least area in pixels
    std::int64_t max_pixels = 16777216;  ///< size.longest_edge or max_pixels: the largest area in pixels
    bool operator==(const PreprocessorConfig&) const = default;
};

namespace image {

/// Width and height in pixels.
struct PixelSize {
    int width = 0, height = 0;  ///< pixels
    bool operator==(const PixelSize&) const = default;
};

namespace detail {

inline void check_sides(int width, int height) {
    const auto [shorter, longer] = std::minmax(width, height);
    if (shorter < 1 || static_cast<double>(longer) / shorter > 200)
        throw ImageError("expected sides of at least 1 pixel in a ratio of at most 200, found " +
                         std::to_string(width) + " x " + std::to_string(height));
}

/// A side of so many tokens, in pixels, where the area must grow (`up`), shrink, or may stay. All in doubles, as the
/// reference.
inline int whole_tokens(double tokens, int factor) {
    if (!(tokens * factor <= 1 << 24))
        throw ImageError("expected limits that lead to sides of at most 16777216 pixels, found " +
                         std::to_string(tokens * factor));
    return static_cast<int>(tokens) * factor;
}

/// Limits of the area of all frames together, in pixels.
struct AreaLimits {
    double least, largest;
    double frames = 1;          ///< frames by which a size is scaled into the limits
    double counted_frames = 1;  ///< frames by which it is held against them: whole temporal patches
    double least_side = 0;      ///< tokens that a rounded side has at least before its area is held against them
};

/// Multiples of `factor` near h x w pixels that the limits allow, the aspect ratio kept as far as they do. Rounded half
/// to even, as Python rounds.
inline PixelSize size_within(double h, double w, int factor, const AreaLimits& limits) {
    const auto size = [&](double columns, double rows) {
        return PixelSize{whole_tokens(columns, factor), whole_tokens(rows, factor)};
    };
    const double rows = std::max(limits.least_side, std::nearbyint(h / factor)),
                 columns = std::max(limits.least_side, std::nearbyint(w / factor));
    const double rounded = limits.counted_frames * rows * factor * columns * factor, area = limits.frames * h * w;
    if (rounded > limits.largest) {
        const double beta = std::sqrt(area / limits.largest);
        return size(std::max(1.0, std::floor(w / beta / factor)), std::max(1.0, std::floor(h / beta / factor)));
    }
    if (rounded < limits.least) {
        const double beta = std::sqrt(limits.least / area);
        return size(std::ceil(w * beta / factor), std::ceil(h * beta / factor));
    }
    return size(columns, rows);
}

}  // namespace detail

/// The size that a picture is resized to: multiples of `factor`, with the area within the limits, and the aspect ratio
/// kept as far as that allows. After `smart_resize` of transformers' image_processing_qwen2_vl.py; rounding is half to
/// even, as Python's. Throws ImageError where the sides' ratio is above 200.
inline PixelSize smart_resize(int height, int width, int factor, std::int64_t min_pixels, std::int64_t max_pixels) {
    detail::check_sides(width, height);
    return detail::size_within(height, width, factor,
                               {.least = static_cast<double>(min_pixels), .largest = static_cast<double>(max_pixels)});
}

/// Writes a picture, already resized to whole tokens, as slice `slice` (0 to temporal_patch - 1) of the patches of
/// frame group `group`. Values are (x - mean / rescale_factor) / (std / rescale_factor) in float32, as the reference
/// fuses them.
inline void write_patches(const Image& image, const PatchLayout& layout, int group, int slice, Patches& patches) {
    std::array<std::array<float, 256>, 3> normalised;
    for (std::size_t c = 0; c < 3; ++c) {
        const auto inverse = static_cast<float>(1.0 / layout.rescale_factor);
        const float mean = layout.mean[c] * inverse, std = layout.std[c] * inverse;
        for (std::size_t x = 0; x < 256; ++x) normalised[c][x] = (static_cast<float>(x) - mean) / std;
    }
    const int p = layout.patch, m = layout.merge, blocks = patches.grid.w / m;
    const auto plane = static_cast<std::size_t>(p * p), row_floats = layout.row_floats();
    const std::size_t group_rows = static_cast<std::size_t>(patches.grid.h) * static_cast<std::size_t>(patches.grid.w);
    for (int y = 0; y < image.height(); ++y) {
        const std::uint8_t* from = image.row(y);
        const int row = y / p, block_row = row / m;
        for (int column = 0; column < patches.grid.w; ++column) {
            const auto index = (static_cast<std::size_t>(block_row) * static_cast<std::size_t>(blocks) +
                                static_cast<std::size_t>(column / m)) *
                                   static_cast<std::size_t>(m * m) +
                               static_cast<std::size_t>(row % m * m + column % m);
            float* to = patches.values.data() + (static_cast<std::size_t>(group) * group_rows + index) * row_floats +
                        static_cast<std::size_t>(slice) * plane + static_cast<std::size_t>(y % p * p);
            const auto channel = static_cast<std::size_t>(layout.temporal_patch) * plane;
            for (int x = 0; x < p; ++x, from += 3) {
                to[x] = normalised[0][from[0]];
                to[channel + static_cast<std::size_t>(x)] = normalised[1][from[1]];
                to[2 * channel + static_cast<std::size_t>(x)] = normalised[2][from[2]];
            }
        }
    }
}

}  // namespace image

/// The grid of patches that a picture of this size becomes; no pixels needed. Throws as `image::smart_resize`.
inline Grid grid_of(int width, int height, const PreprocessorConfig& config) {
    const auto size = image::smart_resize(height, width, config.layout.factor(), config.min_pixels, config.max_pixels);
    return {1, size.height / config.layout.patch, size.width / config.layout.patch};
}

/// Makes the patches of a picture: resizes it (`image::smart_resize`, `image::resize_bicubic`), normalises it and cuts
/// it. The one frame fills every temporal slice (transformers' Qwen2VLImageProcessor). Throws ImageError where the
/// sides' ratio is above 200.
Patches preprocess(const Image& image, const PreprocessorConfig& config);

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Patches preprocess(const Image& image, const PreprocessorConfig& config) {
    Patches patches{.grid = grid_of(image.width(), image.height(), config), .values = {}};
    const auto resized =
        image::resize_bicubic(image, patches.grid.w * config.layout.patch, patches.grid.h * config.layout.patch);
    patches.values.resize(static_cast<std::size_t>(patches.grid.patches()) * config.layout.row_floats());
    for (int slice = 0; slice < config.layout.temporal_patch; ++slice)
        image::write_patches(resized, config.layout, 0, slice, patches);
    return patches;
}

#endif

}  // namespace qwen3vl
