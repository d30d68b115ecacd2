// The tokenizer over kinds of text. Rows state bytes of input; the limit is reading at that footprint.
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

std::string repeated(std::string_view sentence, std::size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += sentence;
    return text;
}

void add_encode(const char* kind, std::string_view sentence) {
    bench::add("tokenizer/encode/" + std::string(kind), [text = repeated(sentence, 65536)](benchmark::State& state) {
        static const q::tokenizer::Tokenizer tokenizer =
            q::tokenizer::Tokenizer::open(QWEN3VL_TEST_DATA "/tokenizer-qwen3/tokenizer.json");
        const auto bytes = static_cast<std::int64_t>(text.size());
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes}, bytes,
                       [&] { benchmark::DoNotOptimize(tokenizer.encode(text)); });
    });
}

}  // namespace

int main(int argc, char** argv) {
    add_encode("english", "The quick brown fox jumps over the lazy dog, and 1234 other animals watched it go. ");
    add_encode("chinese", "\u654f\u6377\u7684\u68d5\u8272\u72d0\u72f8\u8df3\u8fc7\u4e86\u61d2\u72d7\u3002");
    add_encode("code", "for (int i = 0; i < n; ++i) {\n    sum += values[i] * 0.5f;  // weighted\n}\n");
    add_encode("one_letter", "a");
    return bench::run(argc, argv);
}
