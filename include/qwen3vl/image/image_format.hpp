#pragma once
#include <algorithm>
#include <cstring>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/image/exif.hpp>
#include <span>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::image {

/// True if WebP pictures are read. The target qwen3vl::qwen3vl defines QWEN3VL_WEBP and links libwebp where that is
/// installed. All files of a program define it, or none.
#if defined(QWEN3VL_WEBP)
inline constexpr bool reads_webp = true;
#else
inline constexpr bool reads_webp = false;
#endif

/// Format of a picture file, by its first bytes. Those after webp are not read; errors name them.
enum class ImageKind : std::uint8_t { unknown, jpeg, png, webp, gif, bmp, tiff, avif, heic, jpeg_2000, jpeg_xl };

/// Header of a picture file, read before any pixel is decoded.
struct ImageHeader {
    ImageKind format = ImageKind::jpeg;  ///< jpeg, png or webp
    std::int64_t width = 0, height = 0;  ///< as stored, before the orientation is applied
    int channels = 0;          ///< as stored: 1 gray, 2 gray and alpha, 3 RGB, YCbCr or palette, 4 RGBA or CMYK
    int orientation = 1;       ///< EXIF, 1 to 8
    int adobe_transform = -1;  ///< JPEG: the colour transform of the Adobe APP14 segment, -1 where there is none
};

/// The format's name as people write it.
constexpr std::string_view name_of(ImageKind kind) {
    constexpr std::string_view names[] = {"unknown", "JPEG", "PNG",  "WebP",      "GIF",    "BMP",
                                          "TIFF",    "AVIF", "HEIC", "JPEG 2000", "JPEG XL"};
    return names[static_cast<std::size_t>(kind)];
}

namespace detail {

constexpr unsigned byte_at(std::span<const std::byte> bytes, std::size_t at) {
    return std::to_integer<unsigned>(bytes[at]);
}

inline bool starts_with(std::span<const std::byte> bytes, std::string_view text) {
    return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

[[noreturn]] inline void throw_truncated(const std::string& name, std::size_t size) {
    throw ImageError(name + ": expected a whole picture, found a file cut off after " + std::to_string(size) +
                     " bytes");
}

/// The kind of an ISO base media file (ISO/IEC 14496-12): its first box, ftyp, names the brands that it follows, four
/// bytes each.
inline ImageKind media_kind(std::span<const std::byte> bytes) {
    const std::size_t box = std::min<std::size_t>({read_u32(bytes, 0, true), bytes.size(), 64});
    ImageKind kind = ImageKind::unknown;
    for (std::size_t at = 8; at + 4 <= box; at += at == 8 ? 8 : 4) {  // the major brand, its version, compatible brands
        const auto brand = bytes.subspan(at);
        if (starts_with(brand, "avif") || starts_with(brand, "avis")) return ImageKind::avif;
        for (const char* heic : {"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"})
            if (starts_with(brand, heic)) kind = ImageKind::heic;
    }
    return kind;
}

}  // namespace detail

/// Tells the format of a picture file by its first bytes.
inline ImageKind image_kind(std::span<const std::byte> bytes) {
    using namespace std::string_view_literals;
    struct Signature {
        std::string_view begin;
        ImageKind kind;
    };
    constexpr Signature signatures[] = {
        {"\xff\xd8\xff"sv, ImageKind::jpeg},
        {"\x89PNG\r\n\x1a\n"sv, ImageKind::png},
        {"GIF8"sv, ImageKind::gif},
        {"BM"sv, ImageKind::bmp},
        {"II\x2a\0"sv, ImageKind::tiff},
        {"MM\0\x2a"sv, ImageKind::tiff},
        {"II\x2b\0"sv, ImageKind::tiff},  // BigTIFF
        {"MM\0\x2b"sv, ImageKind::tiff},
        {"\0\0\0\x0cjP  \r\n\x87\n"sv, ImageKind::jpeg_2000},
        {"\xff\x4f\xff\x51"sv, ImageKind::jpeg_2000},
        {"\0\0\0\x0cJXL \r\n\x87\n"sv, ImageKind::jpeg_xl},
        {"\xff\x0a"sv, ImageKind::jpeg_xl},
    };
    for (const auto& [begin, kind] : signatures)
        if (detail::starts_with(bytes, begin)) return kind;
    if (bytes.size() < 12) return ImageKind::unknown;
    if (detail::starts_with(bytes, "RIFF") && detail::starts_with(bytes.subspan(8), "WEBP")) return ImageKind::webp;
    if (detail::starts_with(bytes.subspan(4), "ftyp")) return detail::media_kind(bytes);
    return ImageKind::unknown;
}

namespace detail {

/// Throws ImageError, which says which formats are read, what was found instead, and what to do.
[[noreturn]] inline void refuse_image(ImageKind kind, std::span<const std::byte> bytes, const std::string& name) {
    const std::string expected =
        name + ": expected a " + (reads_webp ? "JPEG, PNG or WebP" : "JPEG or PNG") + " picture, found ";
    if (kind == ImageKind::webp)
        throw ImageError(expected +
                         "WebP, which is read where the program is built with libwebp (Debian: libwebp-dev); "
                         "build it so, or convert the picture to PNG or JPEG");
    if (kind != ImageKind::unknown)
        throw ImageError(expected + std::string(name_of(kind)) + "; convert it to PNG or JPEG");
    std::string found = bytes.empty() ? "no bytes" : "bytes";
    for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), 4); ++i) {
        constexpr char hex[] = "0123456789abcdef";
        const unsigned b = byte_at(bytes, i);
        found += std::string(" ") + hex[b >> 4] + hex[b & 15];
    }
    throw ImageError(expected + found);
}

}  // namespace detail

}  // namespace qwen3vl::image
