#pragma once
#include <qwen3vl/image/webp_header.hpp>
#include <string>
#include <vector>

#if defined(QWEN3VL_WEBP)
#include <webp/decode.h>

namespace qwen3vl::inline QWEN3VL_ABI::image {

/// Decodes a still WebP picture whose header has been read and whose size has been accepted, lossy or lossless, to
/// `channels` (3 or 4) bytes a pixel. An alpha channel is dropped for 3. The bits are those of PIL over the same
/// libwebp. libwebp's memory is bounded by the picture's size, and for lossless ones by what their code tables can be,
/// a gigabyte. Throws ImageError.
inline std::vector<std::uint8_t> webp_decode(std::span<const std::byte> bytes, const ImageHeader& header, int channels,
                                             const std::string& name) {
    const auto check = [&](VP8StatusCode status) {
        if (status == VP8_STATUS_OK) return;
        if (status == VP8_STATUS_SUSPENDED || status == VP8_STATUS_NOT_ENOUGH_DATA)
            detail::throw_truncated(name, bytes.size());
        if (status == VP8_STATUS_OUT_OF_MEMORY) throw OutOfMemory(name + ": no memory to decode the picture");
        throw ImageError(name + ": expected decodable WebP data, found damage (libwebp's status " +
                         std::to_string(status) + ")");
    };
    const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        throw ImageError(name +
                         ": expected a libwebp as the program was compiled with, found one of another interface");
    check(WebPGetFeatures(data, bytes.size(), &config.input));
    if (config.input.width != header.width || config.input.height != header.height)
        throw ImageError(name + ": expected " + std::to_string(header.width) + " x " + std::to_string(header.height) +
                         " pixels as the header says, found " + std::to_string(config.input.width) + " x " +
                         std::to_string(config.input.height));
    const auto row = static_cast<std::size_t>(header.width) * static_cast<std::size_t>(channels);
    std::vector<std::uint8_t> pixels(row * static_cast<std::size_t>(header.height));
    config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = {pixels.data(), static_cast<int>(row), pixels.size()};
    check(WebPDecode(data, bytes.size(), &config));
    return pixels;
}

}  // namespace qwen3vl::image
#endif
