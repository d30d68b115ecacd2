// Preprocessing of pictures. Rows state bytes of input and output; the limit is reading and writing at that footprint.
#include <qwen3vl/image/preprocess.hpp>
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

void add_preprocess(int width, int height) {
    bench::add("image/preprocess/" + std::to_string(width) + "x" + std::to_string(height),
               [=](benchmark::State& state) {
                   std::vector<std::uint8_t> pixels(static_cast<std::size_t>(3 * width * height));
                   std::minstd_rand engine(1);
                   for (auto& p : pixels) p = static_cast<std::uint8_t>(engine() >> 16);
                   const auto image = q::Image::from_rgb(width, height, std::move(pixels));
                   const q::PreprocessorConfig config;
                   const auto floats = q::preprocess(image, config).values.size();
                   const auto bytes = static_cast<std::int64_t>(image.width()) * image.height() * 3 +
                                      static_cast<std::int64_t>(floats * sizeof(float));
                   bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true},
                                  std::int64_t{width} * height,
                                  [&] { benchmark::DoNotOptimize(q::preprocess(image, config)); });
               });
}

}  // namespace

int main(int argc, char** argv) {
    add_preprocess(512, 512);
    add_preprocess(640, 480);
    add_preprocess(1920, 1080);
    return bench::run(argc, argv);
}
