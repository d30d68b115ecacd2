// Any bytes as a GGUF model, with or without a vision part: 4 bytes of length, the model, then the vision part. Opened,
// translated, checked against every shipped Dims, and read to the last number and token, or refused with an error of
// the library. The same two are also the parts of a split model.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <qwen3vl/checkpoint/gguf_checkpoint.hpp>
#include <qwen3vl/checkpoint/gguf_defaults.hpp>
#include <qwen3vl/checkpoint/gguf_tokenizer.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/weights/values.hpp>
#include <string>
#include "memory_file.hpp"

namespace {
void read_tensors(const qwen3vl::checkpoint::GgufFile::Tensors& tensors) {
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

/// Two paths that have the names of a split model's parts and lead to other files.
class PartNames {
  public:
    PartNames() {
        char name[] = "/tmp/fuzz_gguf_XXXXXX";
        if (!mkdtemp(name)) std::abort();
        folder_ = name;
    }
    ~PartNames() { rmdir(folder_.c_str()); }
    std::string path(int n) const { return folder_ + "/m-0000" + std::to_string(n) + "-of-00002.gguf"; }
    void lead_to(const std::string& first, const std::string& second) const {
        if (symlink(first.c_str(), path(1).c_str()) != 0 || symlink(second.c_str(), path(2).c_str()) != 0) std::abort();
    }
    void remove() const {
        for (const int n : {1, 2}) unlink(path(n).c_str());
    }

  private:
    std::string folder_;
};

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
    attempt([&] {
        checkpoint::GgufParser::parse(std::as_bytes(std::span(data + 4, first)), "fuzz");
    });  // the sanitizer sees every read beyond these bytes
    attempt([&] {
        const auto file = checkpoint::GgufFile::open(model.path());
        read_tensors(file.tensors());
        attempt([&] { checkpoint::gguf_generation_config(file.metadata()); });
        attempt([&] {
            if (const auto tokenizer = checkpoint::GgufTokenizer::read(file.metadata()))
                tokenizer->encode("a 12 <|im_end|>", {.parse_special = true});
        });
    });
    attempt([&] {
        const auto file = checkpoint::GgufFile::open(vision.path());
        attempt([&] { checkpoint::gguf_preprocessor_config(file); });
        attempt([&] { checkpoint::gguf_video_preprocessor_config(file); });
    });
    attempt([&] {
        const auto checkpoint =
            checkpoint::GgufCheckpoint::open(model.path(), size - 4 > first ? vision.path() : std::string());
        for_each_type<models::shipped_and_golden>(
            [&](auto tag) { checkpoint::matches<typename decltype(tag)::type>(checkpoint.config()); });
        read_tensors(checkpoint.tensors());
    });
    if (size - 4 > first) {
        static const PartNames parts;
        parts.lead_to(model.path(), vision.path());
        for (const int n : {1, 2}) attempt([&] { read_tensors(checkpoint::GgufFile::open(parts.path(n)).tensors()); });
        parts.remove();
    }
    return 0;
}
