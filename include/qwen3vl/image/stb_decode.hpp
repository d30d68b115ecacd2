#pragma once
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/image/image_header.hpp>
#include <qwen3vl/image/stb_private.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::image {

namespace detail {

/// Hands a file's bytes to stb_image. stb takes a cut file for one that goes on with zeros; here asking beyond the end
/// throws.
struct StbSource {
    std::span<const std::byte> bytes;
    const std::string* name = nullptr;
    std::size_t at = 0;

    static int read(void* user, char* data, int size) {
        auto& source = *static_cast<StbSource*>(user);
        const std::size_t n = std::min(source.bytes.size() - source.at, static_cast<std::size_t>(std::max(size, 0)));
        if (n == 0) throw_truncated(*source.name, source.bytes.size());
        std::memcpy(data, source.bytes.data() + source.at, n);
        source.at += n;
        return static_cast<int>(n);
    }
    static void skip(void* user, int size) {
        auto& source = *static_cast<StbSource*>(user);
        if (size < 0 || static_cast<std::size_t>(size) > source.bytes.size() - source.at)
            throw_truncated(*source.name, source.bytes.size());
        source.at += static_cast<std::size_t>(size);
    }
    static int eof(void* user) {
        const auto& source = *static_cast<StbSource*>(user);
        return source.at == source.bytes.size();
    }
};

}  // namespace detail

/// Decodes a JPEG or PNG whose header has been read and whose size has been accepted, to `channels` (3 or 4) bytes a
/// pixel. Gray is replicated, palettes are expanded, 16-bit samples keep their upper byte, an alpha channel is dropped
/// for 3. CMYK and YCCK are converted where an Adobe segment says what they are. Memory is bounded by the size of
/// picture and file. Throws ImageError.
inline std::vector<std::uint8_t> stb_decode(std::span<const std::byte> bytes, const ImageHeader& header, int channels,
                                            const std::string& name) {
    if (header.format == ImageKind::jpeg) {
        if (header.channels == 4 && header.adobe_transform != 0 && header.adobe_transform != 2)
            throw ImageError(
                name + ": expected an Adobe segment that says whether four channels are CMYK or YCCK, found none");
        check_jpeg_segments(bytes, name);
    }
    // Per pixel: 16-bit RGBA unpacked, defiltered and deinterlaced (3 x 8), cut to 8 bits (4), converted (4); a
    // progressive JPEG's coefficients, planes and result are less. Sides are rounded up to whole 16 x 16 blocks. The
    // file's data are held twice while they grow.
    const auto pixels = static_cast<std::uint64_t>(round_up(header.width, 16) * round_up(header.height, 16));
    const StbMemory memory((std::size_t{1} << 20) + 4 * bytes.size() + 40 * pixels);
    detail::StbSource source{bytes, &name};
    const stb::stbi_io_callbacks callbacks{&detail::StbSource::read, &detail::StbSource::skip, &detail::StbSource::eof};
    int width = 0, height = 0, stored = 0;
    const stb::stbi_uc* data = nullptr;
    try {
        data = stb::stbi_load_from_callbacks(&callbacks, &source, &width, &height, &stored, channels);
    } catch (const ImageError& error) {
        throw ImageError(std::string(error.what()).starts_with(name + ":") ? error.what() : name + ": " + error.what());
    }
    if (!data) {
        const char* why = stb::stbi_failure_reason();
        throw ImageError(name + ": expected decodable " + (header.format == ImageKind::jpeg ? "JPEG" : "PNG") +
                         " data, found: " + (why ? why : "unknown damage"));
    }
    if (width != header.width || height != header.height)
        throw ImageError(name + ": expected " + std::to_string(header.width) + " x " + std::to_string(header.height) +
                         " pixels as the header says, found " + std::to_string(width) + " x " + std::to_string(height));
    return {data, data + static_cast<std::size_t>(width) * static_cast<std::size_t>(height) *
                             static_cast<std::size_t>(channels)};
}

/// The PNG file of RGB pixels [height, width, 3].
inline std::string stb_encode_png(std::span<const std::uint8_t> pixels, int width, int height) {
    const auto bytes = checked_mul(static_cast<std::uint64_t>(width) * 3 + 1, static_cast<std::uint64_t>(height));
    if (!bytes || *bytes > 0x7fffffff)
        throw ImageError("expected a picture whose pixels fit 2 GiB to write as PNG, found " + std::to_string(width) +
                         " x " + std::to_string(height));
    std::string file;
    const auto append = [](void* context, void* data, int size) {
        static_cast<std::string*>(context)->append(static_cast<const char*>(data), static_cast<std::size_t>(size));
    };
    if (!stb::stbi_write_png_to_func(append, &file, width, height, 3, pixels.data(), width * 3))
        throw OutOfMemory("no memory to write a picture of " + std::to_string(width) + " x " + std::to_string(height) +
                          " as PNG");
    return file;
}

}  // namespace qwen3vl::image
