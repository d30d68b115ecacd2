#include <algorithm>
#include <memory>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include <type_traits>
#include "catch.hpp"

using namespace qwen3vl;

namespace {

using Arch = arch::native;

/// The channel that token `t` of head `h` has, key or value: a different number everywhere, with more bits than bf16 keeps.
float channel(std::int64_t h, std::int64_t t, std::int64_t c, bool value) {
    return testing::Rng(static_cast<std::uint64_t>(((h * 100003 + t) * 257 + c) * 2 + value)).signed_unit() * 10.0f;
}
template <class Codec>
float kept(float v) {
    return static_cast<float>(typename Codec::element(v));  // core/half.hpp rounds to nearest even; test_half.cpp holds it to that
}

template <class Cache>
struct Filled {
    kv_cache::Extent extent;
    std::vector<std::byte> memory;
    typename Cache::Layer layer;

    explicit Filled(const kv_cache::Extent& e) : extent(e), memory(static_cast<std::size_t>(Cache::bytes(e))), layer(memory.data(), extent) {}
    void write(std::int64_t token) {
        std::vector<float> key, value;
        for (std::int64_t h = 0; h < extent.kv_heads; ++h) {
            key.clear();
            value.clear();
            for (std::int64_t c = 0; c < extent.channels; ++c) {
                key.push_back(channel(h, token, c, false));
                value.push_back(channel(h, token, c, true));
            }
            layer.template write<Arch>(h, token, key.data(), value.data());
        }
    }
    /// Channels of one token that differ from what was written, with `tokens` stored.
    int differences(std::int64_t token, std::int64_t tokens) const {
        int n = 0;
        for (std::int64_t h = 0; h < extent.kv_heads; ++h) {
            const auto tile = layer.tile(h, token / kv_cache::tile_keys, tokens);
            const std::int64_t row = token - tile.first;
            n += row < 0 || row >= tile.count;
            for (std::int64_t c = 0; c < extent.channels; ++c) {
                n += static_cast<float>(tile.keys[row * tile.stride + c]) != kept<typename Cache::codec>(channel(h, token, c, false));
                n += static_cast<float>(tile.values[row * tile.stride + c]) != kept<typename Cache::codec>(channel(h, token, c, true));
            }
        }
        return n;
    }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a cache gives back what its mask can still show", "", testing::tuple_t<kv_cache::all>) {
    using Cache = typename TestType::type;
    static_assert(concepts::KvCache<Cache>);
    static_assert(Cache::can_rewind == (Cache::capacity == 0));
    const auto check = [](auto mask_tag) {
        using Mask = typename decltype(mask_tag)::type;
        const kv_cache::Extent extent{2, 32, 700, Mask::span, Mask::sinks};
        const std::int64_t largest = Cache::largest_chunk(extent);
        REQUIRE(largest >= 1);
        for (std::int64_t chunk : {std::int64_t{1}, std::int64_t{29}, std::min<std::int64_t>(largest, extent.tokens)}) {
            CAPTURE(Cache::name, Cache::codec::name, Mask::name, chunk);
            Filled<Cache> cache(extent);
            int differences = 0;
            for (std::int64_t first = 0; first < extent.tokens; first += chunk) {
                const std::int64_t end = std::min(extent.tokens, first + chunk);
                for (std::int64_t t = first; t < end; ++t) cache.write(t);
                for (std::int64_t key = 0; key < end; ++key)  // every key that some query of the chunk sees
                    for (std::int64_t q : {first, end - 1})
                        if (Mask::visible(q, key)) {
                            differences += cache.differences(key, end);
                            break;
                        }
            }
            CHECK(differences == 0);
        }
    };
    if constexpr (Cache::capacity == 0) check(type_tag<mask::Causal>{});
    check(type_tag<mask::SlidingWindow<Window{.tokens = 64, .sinks = 4}>>{});
    check(type_tag<mask::SlidingWindow<Window{.tokens = 100, .sinks = 130}>>{});
}

TEMPLATE_LIST_TEST_CASE("tiles are consecutive, aligned and cut at the last token", "", testing::tuple_t<kv_cache::all>) {
    using Cache = typename TestType::type;
    Filled<Cache> cache({1, 16, 200, 64, 4});
    for (std::int64_t t = 0; t < 200; ++t) cache.write(t);
    for (std::int64_t tokens : {1, 63, 64, 65, 128, 200})
        for (std::int64_t i = 0; i * kv_cache::tile_keys < tokens; ++i) {
            const auto tile = cache.layer.tile(0, i, tokens);
            CHECK(tile.first == i * kv_cache::tile_keys);
            CHECK(tile.count == std::min<std::int64_t>(kv_cache::tile_keys, tokens - tile.first));
            CHECK(tile.stride == 16);
        }
}

TEMPLATE_LIST_TEST_CASE("a cache keeps within its bytes", "", testing::tuple_t<kv_cache::all>) {
    using Cache = typename TestType::type;
    const kv_cache::Extent extent{3, 48, 300, 64, 70};
    const auto bytes = static_cast<std::size_t>(Cache::bytes(extent));
    const auto memory = std::make_unique<std::byte[]>(bytes);  // a sanitizer sees a write past it
    typename Cache::Layer layer(memory.get(), extent);
    const std::vector<float> row(48, 1.0f);
    for (std::int64_t t = 0; t < extent.tokens; ++t)
        for (std::int64_t h = 0; h < extent.kv_heads; ++h) layer.template write<Arch>(h, t, row.data(), row.data());
    if constexpr (Cache::capacity > 0) {
        CHECK(Cache::bytes({3, 48, 1 << 20, 64, 70}) == Cache::bytes(extent));  // does not grow with the context
        // two tiles of sinks, and whole tiles for the rest of the capacity
        CHECK(static_cast<std::int64_t>(bytes) ==
              2 * 3 * 48 * (128 + round_up(Cache::capacity - 70, 64)) * static_cast<std::int64_t>(sizeof(typename Cache::element)));
    } else {
        CHECK(static_cast<std::int64_t>(bytes) == 2 * 3 * 48 * 320 * static_cast<std::int64_t>(sizeof(typename Cache::element)));
    }
}

TEST_CASE("a ring's largest chunk is the largest: one more token loses a key") {
    using Ring = kv_cache::Ring<Tokens{256}, kv_cache::Float32>;
    using Mask = mask::SlidingWindow<Window{.tokens = 64, .sinks = 4}>;
    const kv_cache::Extent extent{1, 16, 2000, Mask::span, Mask::sinks};
    const std::int64_t largest = Ring::largest_chunk(extent), first = 640;
    const auto lost = [&](std::int64_t chunk) {
        Filled<Ring> ring(extent);
        for (std::int64_t t = 0; t < first + chunk; ++t) ring.write(t);
        return ring.differences(first + 1 - Mask::span, first + chunk);  // the oldest key that the chunk's first token sees
    };
    CHECK(lost(largest) == 0);
    CHECK(lost(largest + 1) > 0);
}

TEST_CASE("channels are padded to whole vectors") {
    CHECK(kv_cache::padded_channels(8) == 16);
    CHECK(kv_cache::padded_channels(72) == 80);
    CHECK(kv_cache::padded_channels(128) == 128);
}
