#pragma once
#include <array>
#include <optional>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/core/output_file.hpp>
#include <qwen3vl/image/stb_decode.hpp>
#include <qwen3vl/image/webp_decode.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// An RGB colour, 0 to 255 each.
struct Colour {
    std::uint8_t red = 0, green = 0, blue = 0;  ///< 0 to 255
    bool operator==(const Colour&) const = default;
};

/// Options of `Image::open` and `Image::decode`: limits, orientation and transparency.
struct ImageOptions {
    std::int64_t max_pixels = 64'000'000;  ///< width x height, refused from the header before any pixel is decoded
    double max_aspect_ratio = 200;         ///< longer side / shorter side; the reference refuses more than 200
    bool exif_orientation = true;  ///< turn the picture upright; the reference (PIL without exif_transpose) does not
    std::optional<Colour> background =
        {};  ///< composite alpha over this colour; without it alpha is dropped, as PIL's convert("RGB") does
};

/// A picture's size as `Image::decode` would give it, read from the file's header.
struct ImageInfo {
    int width = 0, height = 0;  ///< after the EXIF orientation, where the options honour it
    int channels = 0;           ///< as stored: 1 gray, 2 gray and alpha, 3 RGB, YCbCr or palette, 4 RGBA or CMYK
    int orientation = 1;        ///< EXIF, 1 to 8
};

/// A picture: RGB bytes [height, width, 3], row-major, owned. Copying copies the pixels.
class Image {
  public:
    /// Reads and decodes a JPEG, PNG or WebP file. Throws FileError where it cannot be read, ImageError as `decode`.
    static Image open(const std::string& path, const ImageOptions& options = {});

    /// Decodes a JPEG (baseline or progressive; gray, YCbCr, RGB, Adobe CMYK/YCCK) or a PNG of any kind. Programs built
    /// with libwebp (image::reads_webp) also decode a still WebP. Gray is replicated, a palette expanded, transparency
    /// dropped or composited. 16-bit samples keep their upper byte (so does PIL for colour; its convert("RGB") clips
    /// 16-bit gray at 255 instead, which leaves it white). A truncated file is refused. Throws ImageError, which names
    /// the picture.
    static Image decode(std::span<const std::byte> bytes, const ImageOptions& options = {},
                        const std::string& name = "picture");

    /// Reads a picture's size without decoding pixels, held to the same limits. Throws as `open` and `decode`.
    static ImageInfo probe(const std::string& path, const ImageOptions& options = {});
    /// Reads the size of a picture in memory; `name` stands in errors.
    static ImageInfo probe(std::span<const std::byte> bytes, const ImageOptions& options = {},
                           const std::string& name = "picture");

    /// Makes a picture of pixels in memory, [height, width, channels] row-major with 3, 4 or 1 channels. Throws
    /// ImageError where a side is below 1 or the number of bytes is not width * height * channels. `from_rgba` drops
    /// alpha unless a background is given.
    static Image from_rgb(int width, int height, std::span<const std::uint8_t> pixels) {
        check_buffer(width, height, 3, pixels.size());
        return {width, height, {pixels.begin(), pixels.end()}};
    }
    /// Takes the bytes over, [height, width, 3].
    static Image from_rgb(int width, int height, std::vector<std::uint8_t>&& pixels) {
        check_buffer(width, height, 3, pixels.size());
        return {width, height, std::move(pixels)};
    }
    /// Makes one of red, green, blue and alpha.
    static Image from_rgba(int width, int height, std::span<const std::uint8_t> pixels,
                           std::optional<Colour> background = {}) {
        check_buffer(width, height, 4, pixels.size());
        if (background) return {width, height, composited(pixels, *background)};
        std::vector<std::uint8_t> rgb;
        rgb.reserve(pixels.size() / 4 * 3);
        for (std::size_t i = 0; i < pixels.size(); i += 4)
            rgb.insert(rgb.end(), {pixels[i], pixels[i + 1], pixels[i + 2]});
        return {width, height, std::move(rgb)};
    }
    /// Makes one of gray values.
    static Image from_gray(int width, int height, std::span<const std::uint8_t> pixels) {
        check_buffer(width, height, 1, pixels.size());
        std::vector<std::uint8_t> rgb;
        rgb.reserve(pixels.size() * 3);
        for (const auto gray : pixels) rgb.insert(rgb.end(), 3, gray);
        return {width, height, std::move(rgb)};
    }

    /// Columns.
    int width() const { return width_; }
    /// Rows.
    int height() const { return height_; }
    /// RGB bytes [height, width, 3].
    std::span<const std::uint8_t> pixels() const { return pixels_; }
    /// RGB bytes [height, width, 3], to be changed.
    std::span<std::uint8_t> pixels() { return pixels_; }
    /// Row y: width * 3 bytes.
    const std::uint8_t* row(int y) const {
        return pixels_.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) * 3;
    }
    /// Row y, to be changed.
    std::uint8_t* row(int y) {
        return pixels_.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) * 3;
    }
    bool operator==(const Image&) const = default;

    /// Writes a PNG file. Throws FileError where it cannot be written.
    void write_png(const std::string& path) const;

    /// 128 bits that tell pictures apart: a key for caches within one process, not a defence against forgery and not a
    /// file format.
    std::array<std::uint64_t, 2> content_hash() const {
        std::array<std::uint64_t, 2> hash{0x9e3779b97f4a7c15u ^ static_cast<std::uint64_t>(width_),
                                          0xc2b2ae3d27d4eb4fu ^ static_cast<std::uint64_t>(height_)};
        for (std::size_t at = 0; at < pixels_.size(); at += 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, pixels_.data() + at, std::min<std::size_t>(8, pixels_.size() - at));
            hash[0] = mixed(hash[0] ^ word, 0xa0761d6478bd642fu);
            hash[1] = mixed(hash[1] + word, 0xe7037ed1a0b428dbu);
        }
        return hash;
    }

  private:
    Image(int width, int height, std::vector<std::uint8_t> pixels)
        : width_(width), height_(height), pixels_(std::move(pixels)) {}

    static image::ImageHeader checked_header(std::span<const std::byte> bytes, const ImageOptions& options,
                                             const std::string& name) {
        auto header = image::read_image_header(bytes, name);
        const std::string found = std::to_string(header.width) + " x " + std::to_string(header.height);
        if (header.width > options.max_pixels / header.height)
            throw ImageError(name + ": expected at most " + std::to_string(options.max_pixels) + " pixels, found " +
                             found);
        const auto [shorter, longer] =
            std::minmax({static_cast<double>(header.width), static_cast<double>(header.height)});
        if (longer / shorter > options.max_aspect_ratio)
            throw ImageError(name + ": expected sides in a ratio of at most " +
                             std::to_string(options.max_aspect_ratio) + ", found " + found);
        return header;
    }

    static std::vector<std::uint8_t> decoded(std::span<const std::byte> bytes, const image::ImageHeader& header,
                                             int channels, const std::string& name) {
#if defined(QWEN3VL_WEBP)
        if (header.format == image::ImageKind::webp) return image::webp_decode(bytes, header, channels, name);
#endif
        return image::stb_decode(bytes, header, channels, name);
    }

    static void check_buffer(int width, int height, std::uint64_t channels, std::size_t bytes) {
        if (width < 1 || height < 1)
            throw ImageError("expected a picture of at least 1 x 1, found " + std::to_string(width) + " x " +
                             std::to_string(height));
        const std::uint64_t expected = static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height) *
                                       channels;  // below 2^64: 31 + 31 + 2 bits
        if (bytes != expected)
            throw ImageError("expected " + std::to_string(expected) + " bytes for " + std::to_string(width) + " x " +
                             std::to_string(height) + " pixels of " + std::to_string(channels) + " channels, found " +
                             std::to_string(bytes));
    }

    static std::vector<std::uint8_t> composited(std::span<const std::uint8_t> rgba, Colour background) {
        const std::array<unsigned, 3> under{background.red, background.green, background.blue};
        std::vector<std::uint8_t> rgb(rgba.size() / 4 * 3);
        for (std::size_t i = 0, o = 0; i < rgba.size(); i += 4, o += 3) {
            const unsigned alpha = rgba[i + 3];
            for (std::size_t c = 0; c < 3; ++c)
                rgb[o + c] = static_cast<std::uint8_t>((rgba[i + c] * alpha + under[c] * (255 - alpha) + 127) / 255);
        }
        return rgb;
    }

    /// The picture turned as EXIF 2.3 tag 0x0112 asks. 2: mirrored; 3: by 180 degrees; 4: upside down; 5: transposed;
    /// 6: clockwise by 90; 7: transposed the other way; 8: anticlockwise by 90.
    Image oriented(int orientation) const {
        const bool turned = orientation >= 5;
        const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 ||
                            orientation == 8;  // the source's x runs backwards
        const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
        Image out(turned ? height_ : width_, turned ? width_ : height_, std::vector<std::uint8_t>(pixels_.size()));
        std::uint8_t* to = out.pixels_.data();
        for (int y = 0; y < out.height_; ++y) {
            for (int x = 0; x < out.width_; ++x, to += 3) {
                const int u = turned ? y : x, v = turned ? x : y;
                const std::uint8_t* from =
                    row(flip_y ? height_ - 1 - v : v) + std::ptrdiff_t{3} * (flip_x ? width_ - 1 - u : u);
                std::copy_n(from, 3, to);
            }
        }
        return out;
    }

    /// Both halves of the 128-bit product, folded (the mixing step of wyhash).
    static std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
        __extension__ using u128 = unsigned __int128;
        const u128 product = static_cast<u128>(a) * b;
        return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64) ^ b;
    }

    int width_ = 0, height_ = 0;
    std::vector<std::uint8_t> pixels_;
};

/// Draws a box's frame, `thickness` pixels inwards from its edges (x1, y1) to (x2, y2), both included; what lies
/// outside the picture is left out.
inline void draw_box(Image& image, int x1, int y1, int x2, int y2, Colour colour, int thickness = 2) {
    const auto fill = [&](std::int64_t left, std::int64_t top, std::int64_t right, std::int64_t bottom) {
        left = std::max<std::int64_t>(left, 0), right = std::min<std::int64_t>(right, image.width() - 1);
        top = std::max<std::int64_t>(top, 0), bottom = std::min<std::int64_t>(bottom, image.height() - 1);
        for (std::int64_t y = top; y <= bottom; ++y) {
            std::uint8_t* pixel = image.row(static_cast<int>(y)) + 3 * left;
            for (std::int64_t x = left; x <= right; ++x, pixel += 3)
                pixel[0] = colour.red, pixel[1] = colour.green, pixel[2] = colour.blue;
        }
    };
    if (x1 > x2) std::swap(x1, x2);
    if (y1 > y2) std::swap(y1, y2);
    const std::int64_t left = x1, top = y1, right = x2, bottom = y2, t = thickness;
    fill(left, top, right, std::min(bottom, top + t - 1));
    fill(left, std::max(top, bottom - t + 1), right, bottom);
    fill(left, top, std::min(right, left + t - 1), bottom);
    fill(std::max(left, right - t + 1), top, right, bottom);
}

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Image Image::open(const std::string& path, const ImageOptions& options) {
    const MappedFile file(path);
    return decode(file.bytes(), options, path);
}

QWEN3VL_SUPPORT Image Image::decode(std::span<const std::byte> bytes, const ImageOptions& options,
                                    const std::string& name) {
    const auto header = checked_header(bytes, options, name);
    const int width = static_cast<int>(header.width), height = static_cast<int>(header.height);
    auto pixels = decoded(bytes, header, options.background ? 4 : 3, name);
    if (options.background) pixels = composited(pixels, *options.background);
    Image image(width, height, std::move(pixels));
    return options.exif_orientation && header.orientation != 1 ? image.oriented(header.orientation) : image;
}

QWEN3VL_SUPPORT ImageInfo Image::probe(const std::string& path, const ImageOptions& options) {
    const MappedFile file(path);
    return probe(file.bytes(), options, path);
}

QWEN3VL_SUPPORT ImageInfo Image::probe(std::span<const std::byte> bytes, const ImageOptions& options,
                                       const std::string& name) {
    const auto header = checked_header(bytes, options, name);
    const bool turned = options.exif_orientation && header.orientation >= 5;
    return {static_cast<int>(turned ? header.height : header.width),
            static_cast<int>(turned ? header.width : header.height), header.channels, header.orientation};
}

QWEN3VL_SUPPORT void Image::write_png(const std::string& path) const {
    OutputFile file(path);
    file.write(image::stb_encode_png(pixels_, width_, height_));
    file.finish();
}

#endif

}  // namespace qwen3vl
