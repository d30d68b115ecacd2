// Any bytes as a saved session: as they are, and as the content of a file whose header and checksum are right. Restored, with steps after it, or refused with
// an error of the library.
#include <array>
#include <fstream>
#include <iterator>
#include <qwen3vl/model/bundles.hpp>
#include <qwen3vl/model/session.hpp>
#include <qwen3vl/testing/sources.hpp>
#include <vector>
#include "memory_file.hpp"

namespace {
using namespace qwen3vl;
using D = models::Tiny;
using M = Model<D, bundles::int8>;
constexpr int context = 100;

const M& model() {
    static const M m = testing::synthetic_model<M>();
    return m;
}

/// The header of an empty session's file.
detail::SavedHeader header() {
    char path[] = "/tmp/qwen3vl-fuzz-XXXXXX";
    close(mkstemp(path));
    Session<M>(model(), {.context = context, .threads = 1}).save(path);
    detail::SavedHeader h;
    std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(&h), sizeof h);
    unlink(path);
    return h;
}

void restore(const std::uint8_t* data, std::size_t size) {
    static Session<M> session(model(), {.context = context, .threads = 1});
    const MemoryFile file(data, size);
    try {
        session.restore(file.path());
        session.append(5);
        session.append({{6, 7}, {}});
    } catch (const Error&) {
    }
    session.reset();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    restore(data, size);
    if (size < 3) return 0;
    static const detail::SavedHeader good = header();
    detail::SavedHeader h = good;
    h.length = data[0];
    h.logits = data[1] % 2 ? D::text.vocab : 0;
    const kv_cache::Extent extent{D::text.kv_heads, kv_cache::padded_channels(D::text.head_dim), context, 0, 0};
    const auto tokens = static_cast<std::int64_t>(h.length);
    const std::int64_t content =
        (tokens + 1) * 8 + static_cast<std::int64_t>(h.logits) * 4 + D::text.layers * kv_cache::Contiguous<kv_cache::Int8>::saved_bytes(extent, tokens);
    h.bytes = detail::SavedHeader::file_bytes(content);
    std::vector<std::uint8_t> file(h.bytes);
    std::memcpy(file.data(), static_cast<const void*>(&h), sizeof h);
    for (std::size_t i = sizeof h; i < file.size(); ++i) file[i] = data[2 + (i - sizeof h) % (size - 2)];
    const std::uint64_t sum = checksum(reinterpret_cast<const std::byte*>(file.data()), file.size() - sizeof sum);
    std::memcpy(file.data() + file.size() - sizeof sum, &sum, sizeof sum);
    restore(file.data(), file.size());
    return 0;
}
