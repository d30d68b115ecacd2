#pragma once
#include <cstring>
#include <qwen3vl/image/image_format.hpp>
#include <qwen3vl/image/webp_header.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::image {

namespace detail {

/// One segment of a JPEG file.
struct JpegSegment {
    unsigned marker = 0;
    std::span<const std::byte> body;  ///< without marker and length
};

/// The segment whose marker is the next one from `at` on; moves `at` behind it. Bytes between segments are skipped:
/// entropy-coded data, fill bytes, padding. Throws ImageError where the file ends first.
inline JpegSegment next_jpeg_segment(std::span<const std::byte> bytes, std::size_t& at, const std::string& name) {
    for (;;) {
        const void* found = at < bytes.size() ? std::memchr(bytes.data() + at, 0xff, bytes.size() - at) : nullptr;
        if (!found) throw_truncated(name, bytes.size());
        at = static_cast<std::size_t>(static_cast<const std::byte*>(found) - bytes.data()) + 1;
        if (at >= bytes.size()) throw_truncated(name, bytes.size());
        const unsigned marker = byte_at(bytes, at);
        if (marker == 0xff) continue;  // a fill byte: the marker's code is still to come
        ++at;
        if (marker == 0x00 || (marker >= 0xd0 && marker <= 0xd7))
            continue;  // a stuffed byte or a restart within a scan
        if (marker == 0xd8 || marker == 0xd9 || marker == 0x01) return {marker, {}};
        if (bytes.size() - at < 2) throw_truncated(name, bytes.size());
        const std::size_t length = read_u16(bytes, at, true);
        if (length < 2)
            throw ImageError(name + ": expected a JPEG segment of 2 bytes or more, found length " +
                             std::to_string(length));
        if (bytes.size() - at < length) throw_truncated(name, bytes.size());
        const auto body = bytes.subspan(at + 2, length - 2);
        at += length;
        return {marker, body};
    }
}

inline ImageHeader read_jpeg_header(std::span<const std::byte> bytes, const std::string& name) {
    ImageHeader header{.format = ImageKind::jpeg};
    bool exif_seen = false;
    for (std::size_t at = 2;;) {
        const auto [marker, body] = next_jpeg_segment(bytes, at, name);
        if (marker == 0xda) {
            if (header.width == 0)
                throw ImageError(name + ": expected a JPEG frame header before the first scan, found none");
            return header;
        }
        if (marker == 0xd9) throw ImageError(name + ": expected a JPEG scan, found the end of the picture");
        if (marker == 0xe1 && !exif_seen && starts_with(body, std::string_view("Exif\0\0", 6))) {
            exif_seen = true;
            header.orientation = exif_orientation(body.subspan(6));
        } else if (marker == 0xee && body.size() >= 12 && starts_with(body, "Adobe")) {
            header.adobe_transform = static_cast<int>(byte_at(body, 11));
        } else if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
            if (marker > 0xc2)
                throw ImageError(name + ": expected a baseline or progressive JPEG, found frame type " +
                                 std::to_string(marker - 0xc0) + " (lossless, arithmetic or hierarchical)");
            if (header.width != 0) throw ImageError(name + ": expected one JPEG frame header, found two");
            if (body.size() < 6)
                throw ImageError(name + ": expected a JPEG frame header of 6 bytes or more, found " +
                                 std::to_string(body.size()));
            if (byte_at(body, 0) != 8)
                throw ImageError(name + ": expected 8 bits a sample, found " + std::to_string(byte_at(body, 0)));
            header.height = read_u16(body, 1, true);
            header.width = read_u16(body, 3, true);
            header.channels = static_cast<int>(byte_at(body, 5));
            if (header.width == 0 || header.height == 0)
                throw ImageError(name + ": expected a picture of at least 1 x 1, found " +
                                 std::to_string(header.width) + " x " + std::to_string(header.height));
        }
    }
}

inline ImageHeader read_png_header(std::span<const std::byte> bytes, const std::string& name) {
    constexpr std::size_t signature = 8, chunk_frame = 12;  // length, type and checksum around a chunk's data
    if (bytes.size() < signature + chunk_frame + 13) throw_truncated(name, bytes.size());
    if (read_u32(bytes, 8, true) != 13 || !starts_with(bytes.subspan(12), "IHDR"))
        throw ImageError(name + ": expected an IHDR chunk of 13 bytes first, found another");
    ImageHeader header{
        .format = ImageKind::png, .width = read_u32(bytes, 16, true), .height = read_u32(bytes, 20, true)};
    if (header.width == 0 || header.height == 0 || header.width > 0x7fffffff || header.height > 0x7fffffff)
        throw ImageError(name + ": expected a width and height from 1 to 2147483647, found " +
                         std::to_string(header.width) + " x " + std::to_string(header.height));
    const unsigned colour_type = byte_at(bytes, 25);
    constexpr int channels[] = {1, 0, 3, 3, 2, 0, 4};
    if (colour_type > 6 || channels[colour_type] == 0)
        throw ImageError(name + ": expected PNG colour type 0, 2, 3, 4 or 6, found " + std::to_string(colour_type));
    header.channels = channels[colour_type];
    for (std::size_t at = signature; bytes.size() - at >= chunk_frame;) {  // a missing end is the decoder's to report
        const std::size_t length = read_u32(bytes, at, true);
        if (bytes.size() - at - chunk_frame < length) break;
        if (starts_with(bytes.subspan(at + 4), "eXIf")) {
            header.orientation = exif_orientation(bytes.subspan(at + 8, length));
            break;
        }
        at += chunk_frame + length;
    }
    return header;
}

}  // namespace detail

/// Reads sizes, channels and orientation without decoding pixels. Reads JPEG (baseline or progressive, 8 bits), PNG
/// and, with libwebp, still WebP. Throws ImageError, naming the file, for all else, where another known format is
/// named, and for a damaged header.
inline ImageHeader read_image_header(std::span<const std::byte> bytes, const std::string& name) {
    const ImageKind kind = image_kind(bytes);
    switch (kind) {
        case ImageKind::jpeg: return detail::read_jpeg_header(bytes, name);
        case ImageKind::png: return detail::read_png_header(bytes, name);
        case ImageKind::webp:
            if (reads_webp) return detail::read_webp_header(bytes, name);
            break;
        default: break;
    }
    detail::refuse_image(kind, bytes, name);
}

/// Checks in all segments of a JPEG file what stb_image takes on trust. Huffman tables must lie within their segment
/// and have at most 256 codes: stb 2.27 writes beyond its tables otherwise. There may be at most 100 scans: encoders
/// write about ten, and each costs a pass over all pixels, however few its bytes are. Throws ImageError; also where the
/// file ends before the picture does.
inline void check_jpeg_segments(std::span<const std::byte> bytes, const std::string& name) {
    constexpr int most_scans = 100;
    int scans = 0;
    for (std::size_t at = 2;;) {
        const auto [marker, body] = detail::next_jpeg_segment(bytes, at, name);
        if (marker == 0xd9) return;
        if (marker == 0xda && ++scans > most_scans)
            throw ImageError(name + ": expected at most " + std::to_string(most_scans) + " JPEG scans, found more");
        if (marker != 0xc4) continue;
        for (std::size_t table = 0; table < body.size();) {
            std::size_t codes = 0;
            for (std::size_t i = 1; i <= 16 && table + i < body.size(); ++i) codes += detail::byte_at(body, table + i);
            if (body.size() - table < 17 + codes || codes > 256)
                throw ImageError(name + ": expected Huffman tables of at most 256 codes within their segment, found " +
                                 std::to_string(codes) + " codes with " + std::to_string(body.size() - table) +
                                 " bytes left");
            table += 17 + codes;
        }
    }
}

}  // namespace qwen3vl::image
