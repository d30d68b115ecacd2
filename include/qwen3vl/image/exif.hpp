#pragma once
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <span>

namespace qwen3vl::inline QWEN3VL_ABI::image {

/// A 16- or 32-bit number of either byte order. The caller has checked that the bytes are there.
inline std::uint32_t read_u16(std::span<const std::byte> bytes, std::size_t at, bool big_endian) {
    const auto a = std::to_integer<std::uint32_t>(bytes[at]), b = std::to_integer<std::uint32_t>(bytes[at + 1]);
    return big_endian ? a << 8 | b : b << 8 | a;
}
/// A 32-bit number, as read_u16().
inline std::uint32_t read_u32(std::span<const std::byte> bytes, std::size_t at, bool big_endian) {
    const std::uint32_t a = read_u16(bytes, at, big_endian), b = read_u16(bytes, at + 2, big_endian);
    return big_endian ? a << 16 | b : b << 16 | a;
}

/// The orientation, 1 to 8, from tag 0x0112 of IFD0 of a TIFF block. JPEG's APP1 after "Exif\0\0", PNG's eXIf chunk and
/// WebP's EXIF chunk hold one. 1, upright, where the tag is absent or the block is damaged, as viewers do: the picture
/// itself is still good.
inline int exif_orientation(std::span<const std::byte> tiff) {
    if (tiff.size() < 8) return 1;
    const bool big_endian = tiff[0] == std::byte{'M'};
    if (tiff[0] != tiff[1] || (!big_endian && tiff[0] != std::byte{'I'}) || read_u16(tiff, 2, big_endian) != 42)
        return 1;
    const std::size_t directory = read_u32(tiff, 4, big_endian);
    if (directory > tiff.size() - 2) return 1;
    const std::size_t entries = read_u16(tiff, directory, big_endian);
    for (std::size_t i = 0, at = directory + 2; i < entries && at <= tiff.size() && tiff.size() - at >= 12;
         ++i, at += 12) {
        constexpr std::uint32_t orientation_tag = 0x0112, short_type = 3;
        if (read_u16(tiff, at, big_endian) != orientation_tag) continue;
        if (read_u16(tiff, at + 2, big_endian) != short_type || read_u32(tiff, at + 4, big_endian) != 1) return 1;
        const std::uint32_t value = read_u16(tiff, at + 8, big_endian);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

}  // namespace qwen3vl::image
