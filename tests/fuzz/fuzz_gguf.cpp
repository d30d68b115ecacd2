// Any bytes as a GGUF model, with or without a vision part: 4 bytes of length, the model, then the vision part. Opened, translated, checked against every
// shipped Dims, and read to the last number and token, or refused with an error of the library.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/io/gguf_checkpoint.hpp>
#include <qwen3vl/io/gguf_defaults.hpp>
#include <qwen3vl/io/gguf_tokenizer.hpp>
#include <qwen3vl/weights/values.hpp>
#include "memory_file.hpp"

namespace {
void read_tensors(const qwen3vl::io::GgufFile::Tensors& tensors) {
    using namespace qwen3vl;
    float values[300];
    float sum = 0;
    for (const auto& [name, t] : tensors) {
        if (!weights::is_weight_type(t.dtype)) continue;
        for (std::int64_t at = 0; at < t.elements(); at += 299) {
            const std::int64_t n = std::min<std::int64_t>(299, t.elements() - at);
            weights::read_values(t, at, n, values);
            sum += values[n - 1];
        }
    }
    volatile float sink = sum;
    static_cast<void>(sink);
}

template <class F>
void attempt(F&& f) {
    try {
        f();
    } catch (const qwen3vl::Error&) {
    }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qwen3vl;
    if (size < 4) return 0;
    std::uint32_t length = 0;
    std::memcpy(&length, data, sizeof length);
    const std::size_t first = std::min<std::size_t>(length, size - 4);
    const MemoryFile model(data + 4, first), vision(data + 4 + first, size - 4 - first);
    attempt([&] { io::GgufParser::parse(std::as_bytes(std::span(data + 4, first)), "fuzz"); });  // the sanitizer sees every read beyond these bytes
    attempt([&] {
        const auto file = io::GgufFile::open(model.path());
        read_tensors(file.tensors());
        attempt([&] { io::gguf_generation_config(file.metadata()); });
        attempt([&] {
            if (const auto tokenizer = io::GgufTokenizer::read(file.metadata())) tokenizer->encode("a 12 <|im_end|>", {.parse_special = true});
        });
    });
    attempt([&] {
        const auto file = io::GgufFile::open(vision.path());
        attempt([&] { io::gguf_preprocessor_config(file); });
        attempt([&] { io::gguf_video_preprocessor_config(file); });
    });
    attempt([&] {
        const auto checkpoint = io::GgufCheckpoint::open(model.path(), size - 4 > first ? vision.path() : std::string());
        for_each_type<models::all>([&](auto tag) { io::matches<typename decltype(tag)::type>(checkpoint.config()); });
        read_tensors(checkpoint.tensors());
    });
    return 0;
}
