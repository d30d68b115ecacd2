// Pictures: header, EXIF, pixels and preprocessing of arbitrary bytes, with a small pixel cap. Anything but an error of
// the library or a picture of the size that probe() told is a finding.
#include <cstdlib>
#include <qwen3vl/image/preprocess.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace q = qwen3vl;
    const auto bytes = std::as_bytes(std::span(data, size));
    q::image::exif_orientation(bytes);
    const q::ImageOptions options{.max_pixels = 1 << 14,
                                  .background = size % 2 ? std::optional<q::Colour>(q::Colour{1, 2, 3}) : std::nullopt};
    try {
        const auto info = q::Image::probe(bytes, options);
        const auto image = q::Image::decode(bytes, options);
        if (image.width() != info.width || image.height() != info.height) std::abort();
        const q::PreprocessorConfig config{.min_pixels = 1024, .max_pixels = 1 << 14};
        const auto patches = q::preprocess(image, config);
        if (patches.grid != q::grid_of(info.width, info.height, config)) std::abort();
    } catch (const q::Error&) {
    }
    return 0;
}
