// Text and pictures on their way in: the tokenizer over kinds of text, and preprocessing of pictures. Rows state bytes of input; the limit is
// reading and writing at that footprint.
#include <qwen3vl/io/preprocess.hpp>
#include <qwen3vl/io/tokenizer.hpp>
#include <qwen3vl/io/tokenizer_json.hpp>
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

std::string repeated(std::string_view sentence, std::size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += sentence;
    return text;
}

void add_encode(const char* kind, std::string_view sentence) {
    bench::add("io/tokenizer/encode/" + std::string(kind), [text = repeated(sentence, 65536)](benchmark::State& state) {
        static const q::io::Tokenizer tokenizer = q::io::Tokenizer::open(QWEN3VL_TEST_DATA "/tokenizer-qwen3/tokenizer.json");
        const auto bytes = static_cast<std::int64_t>(text.size());
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes}, bytes, [&] { benchmark::DoNotOptimize(tokenizer.encode(text)); });
    });
}

void add_preprocess(int width, int height) {
    bench::add("io/preprocess/" + std::to_string(width) + "x" + std::to_string(height), [=](benchmark::State& state) {
        std::vector<std::uint8_t> pixels(static_cast<std::size_t>(3 * width * height));
        std::minstd_rand engine(1);
        for (auto& p : pixels) p = static_cast<std::uint8_t>(engine() >> 16);
        const auto image = q::Image::from_rgb(width, height, std::move(pixels));
        const q::PreprocessorConfig config;
        const auto floats = q::preprocess(image, config).values.size();
        const auto bytes = static_cast<std::int64_t>(image.width()) * image.height() * 3 + static_cast<std::int64_t>(floats * sizeof(float));
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, std::int64_t{width} * height,
                       [&] { benchmark::DoNotOptimize(q::preprocess(image, config)); });
    });
}

}  // namespace

int main(int argc, char** argv) {
    add_encode("english", "The quick brown fox jumps over the lazy dog, and 1234 other animals watched it go. ");
    add_encode("chinese", "\u654f\u6377\u7684\u68d5\u8272\u72d0\u72f8\u8df3\u8fc7\u4e86\u61d2\u72d7\u3002");
    add_encode("code", "for (int i = 0; i < n; ++i) {\n    sum += values[i] * 0.5f;  // weighted\n}\n");
    add_encode("one_letter", "a");
    add_preprocess(512, 512);
    add_preprocess(640, 480);
    add_preprocess(1920, 1080);
    return bench::run(argc, argv);
}
