// Any bytes as a saved session: as they are, and as the content of a file whose header and checksum are right.
// Restored, with steps after it, or refused with an error of the library.
#include <array>
#include <fstream>
#include <iterator>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/sources.hpp>
#include <vector>
#include "largest_tokens.hpp"
#include "memory_file.hpp"

namespace {
using namespace qwen3vl;
using D = models::Tiny;
/// A picture has half of its tokens, so that a file holds their places.
using M =
    Model<D, bundles::int8::with_text<bundles::int8::Text::with_token_reduction<qwen3vl_test::LargestTokens<1, 2>>>>;
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
    std::size_t at = 0;
    const auto next = [&] { return data[at++ % size]; };
    detail::SavedHeader h = good;
    h.length = next();
    const std::uint8_t kinds = next();
    h.logits = kinds % 2 ? D::text.vocab : 0;
    h.pictures = kinds / 2 % 4;
    h.places = kinds / 8 % 16;
    const kv_cache::Extent extent{D::text.kv_heads, kv_cache::padded_channels(D::text.head_dim), context, 0, 0};
    const auto tokens = static_cast<std::int64_t>(h.length);
    const std::size_t of_tokens = h.length * sizeof(int), of_pictures = h.pictures * sizeof(detail::SavedPicture),
                      of_places = h.places * 2 * sizeof(int);
    h.bytes = detail::SavedHeader::file_bytes(
        static_cast<std::int64_t>(of_tokens + of_pictures + of_places + h.logits * sizeof(float)) +
        D::text.layers * kv_cache::Contiguous<kv_cache::Int8>::saved_bytes(extent, tokens));
    std::vector<std::uint8_t> file(h.bytes);
    std::size_t place = sizeof h;
    const auto put = [&](auto value) {
        std::memcpy(file.data() + place, &value, sizeof value);
        place += sizeof value;
    };
    for (std::uint64_t i = 0; i < h.length; ++i) {  // words, pads, and some that the vocabulary lacks
        const int id = next();
        put(id < 128 ? id : id < 250 ? D::tokens.image : id * 1000);
    }
    for (std::uint64_t i = 0; i < h.pictures; ++i) {
        for (int field = 0; field < 5; ++field) {
            const auto value = std::int64_t{next()} - 8;
            put(value);
            if (field == 3) h.visual_tokens += static_cast<std::uint64_t>(value);
        }
        for (int half = 0; half < 2; ++half) put(std::uint64_t{next()});
    }
    for (std::uint64_t i = 0; i < 2 * h.places; ++i) put(int{next()} % 20 - 2);
    while (place < file.size()) put(next());
    std::memcpy(file.data(), static_cast<const void*>(&h), sizeof h);
    const std::uint64_t sum = checksum(reinterpret_cast<const std::byte*>(file.data()), file.size() - sizeof sum);
    std::memcpy(file.data() + file.size() - sizeof sum, &sum, sizeof sum);
    restore(file.data(), file.size());
    return 0;
}
