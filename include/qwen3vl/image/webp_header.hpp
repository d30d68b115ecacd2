#pragma once
#include <qwen3vl/image/image_format.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::image::detail {

/// A chunk of a WebP file (RFC 9649).
struct WebpChunk {
    std::string_view type;  ///< four letters
    std::span<const std::byte> body;
};

/// The chunk at `at`; moves `at` behind it, and behind the byte that pads it to an even length. Throws ImageError where
/// the file ends first.
inline WebpChunk next_webp_chunk(std::span<const std::byte> bytes, std::size_t& at, const std::string& name) {
    constexpr std::size_t frame = 8;  // type and length
    if (bytes.size() - at < frame) throw_truncated(name, bytes.size());
    const std::string_view type(reinterpret_cast<const char*>(bytes.data() + at), 4);
    const std::size_t length = read_u32(bytes, at + 4, false);
    at += frame;
    if (bytes.size() - at < length) throw_truncated(name, bytes.size());
    const auto body = bytes.subspan(at, length);
    at = std::min(bytes.size(), at + length + length % 2);
    return {type, body};
}

/// Sizes and channels of the picture in a chunk, lossy "VP8 " (RFC 6386, section 9.1) or lossless "VP8L".
inline void read_webp_frame(const WebpChunk& chunk, ImageHeader& header, const std::string& name) {
    const auto [type, body] = chunk;
    const auto damaged = [&] {
        throw ImageError(name + ": expected a WebP frame header of a key frame, found damage");
    };
    if (type == "VP8 ") {
        if (body.size() < 10 || byte_at(body, 0) % 2 != 0 || !starts_with(body.subspan(3), "\x9d\x01\x2a")) damaged();
        header.width = read_u16(body, 6, false) & 0x3fff;
        header.height = read_u16(body, 8, false) & 0x3fff;
        header.channels = 3;
    } else if (type == "VP8L") {
        if (body.size() < 5 || byte_at(body, 0) != 0x2f) damaged();
        const std::uint32_t bits = read_u32(body, 1, false);
        header.width = (bits & 0x3fff) + 1;
        header.height = (bits >> 14 & 0x3fff) + 1;
        header.channels = bits >> 28 & 1 ? 4 : 3;
    } else {
        throw ImageError(name + ": expected a WebP file that begins with a chunk VP8, VP8L or VP8X, found another");
    }
}

/// The extended form: a canvas, flags, and metadata behind the picture. The orientation is read as from the other
/// formats.
inline void read_webp_canvas(const WebpChunk& chunk, std::span<const std::byte> rest, ImageHeader& header,
                             const std::string& name) {
    constexpr unsigned animation = 0x02, exif = 0x08, alpha = 0x10;
    const auto read_u24 = [&](std::size_t at) {
        return read_u16(chunk.body, at, false) | byte_at(chunk.body, at + 2) << 16;
    };
    if (chunk.body.size() < 10) throw ImageError(name + ": expected a WebP canvas of 10 bytes, found fewer");
    const unsigned flags = byte_at(chunk.body, 0);
    if (flags & animation)
        throw ImageError(name + ": expected a still picture, found an animated WebP; save its frames as PNG or JPEG");
    header.width = std::int64_t{read_u24(4)} + 1;
    header.height = std::int64_t{read_u24(7)} + 1;
    header.channels = flags & alpha ? 4 : 3;
    bool exif_seen = !(flags & exif);
    for (std::size_t at = 0; at < rest.size();) {
        const auto [type, body] = next_webp_chunk(rest, at, name);
        if (exif_seen || type != "EXIF") continue;
        exif_seen = true;
        constexpr std::string_view prefix("Exif\0\0", 6);  // as in JPEG: some writers leave it there
        header.orientation = exif_orientation(starts_with(body, prefix) ? body.subspan(prefix.size()) : body);
    }
}

inline ImageHeader read_webp_header(std::span<const std::byte> bytes, const std::string& name) {
    constexpr std::size_t riff = 8, first = 12;
    const std::size_t length = read_u32(bytes, 4, false);
    if (bytes.size() - riff < length) throw_truncated(name, bytes.size());
    const auto file = bytes.first(riff + length);
    if (file.size() <= first) throw ImageError(name + ": expected a WebP file of at least one chunk, found none");
    ImageHeader header{.format = ImageKind::webp};
    std::size_t at = first;
    const WebpChunk chunk = next_webp_chunk(file, at, name);
    if (chunk.type == "VP8X")
        read_webp_canvas(chunk, file.subspan(at), header, name);
    else
        read_webp_frame(chunk, header, name);
    if (header.width == 0 || header.height == 0)
        throw ImageError(name + ": expected a picture of at least 1 x 1, found " + std::to_string(header.width) +
                         " x " + std::to_string(header.height));
    return header;
}

}  // namespace qwen3vl::image::detail
