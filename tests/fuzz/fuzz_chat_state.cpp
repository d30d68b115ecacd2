// Any bytes as what a chat added to its session's file, in a file whose sizes and checksum are right. Input: if its
// first byte is even, the added bytes; else changes to those that a chat wrote, of 4 bytes each: where (3 bytes, modulo
// their number) and what is put there. Restored, with a turn after it, or refused with an error of the library, and
// then as before.
#include <fstream>
#include <iterator>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>
#include <qwen3vl/testing/models.hpp>
#include <string>
#include <vector>
#include "memory_file.hpp"

namespace {
using namespace qwen3vl;
using M = Model<models::Tiny, bundles::int8>;

const M& model() {
    static const M m = M::load(QWEN3VL_TEST_DATA "/tiny");
    return m;
}
Chat<M> new_chat() {
    return Chat<M>(model(), {.max_new_tokens = 2, .system = "Be brief.", .session = {.context = 600, .threads = 1}});
}

/// The file of a chat with a picture, a clip and a tool.
const std::vector<std::uint8_t>& saved() {
    static const auto bytes = [] {
        char path[] = "/tmp/qwen3vl-fuzz-XXXXXX";
        close(mkstemp(path));
        const auto picture = Image::from_rgb(64, 64, std::vector<std::uint8_t>(64 * 64 * 3, 90));
        Chat<M> chat(
            model(),
            {.max_new_tokens = 2, .tools = {R"({"name": "count"})"}, .session = {.context = 600, .threads = 1}});
        chat.ask({picture, "hello"});
        chat.ask({Video::from_frames({picture, picture, picture, picture}, 2.0), "hello"});
        chat.save(path);
        std::ifstream file(path, std::ios::binary);
        std::vector<std::uint8_t> all{std::istreambuf_iterator<char>(file), {}};
        unlink(path);
        return all;
    }();
    return bytes;
}

void restore(const std::vector<std::uint8_t>& bytes) {
    static Chat<M> chat = new_chat();
    const MemoryFile file(bytes.data(), bytes.size());
    const auto before = chat.messages();
    try {
        chat.restore(file.path());
    } catch (const Error&) {
        if (chat.messages() != before) __builtin_trap();
        return;
    }
    try {
        chat.ask("and more");
    } catch (const ContextOverflow&) {
    }
    chat.clear();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    std::vector<std::uint8_t> file = saved();
    detail::SavedHeader header;
    std::memcpy(static_cast<void*>(&header), file.data(), sizeof header);
    const std::size_t end = file.size() - sizeof(std::uint64_t), begin = end - header.extra;
    if (data[0] % 2 == 0) {
        header.bytes = header.bytes - header.extra + size - 1;
        header.extra = size - 1;
        file.resize(begin);
        file.insert(file.end(), data + 1, data + size);
        file.resize(header.bytes);
        std::memcpy(file.data(), static_cast<const void*>(&header), sizeof header);
    } else {
        for (std::size_t i = 1; i + 4 <= size; i += 4)
            file[begin + (data[i] + 256u * data[i + 1] + 65536u * data[i + 2]) % header.extra] = data[i + 3];
    }
    const std::uint64_t sum = checksum(reinterpret_cast<const std::byte*>(file.data()), file.size() - sizeof sum);
    std::memcpy(file.data() + file.size() - sizeof sum, &sum, sizeof sum);
    restore(file);
    return 0;
}
