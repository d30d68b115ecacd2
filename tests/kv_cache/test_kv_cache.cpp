#include <algorithm>
#include <cmath>
#include <memory>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/standalone_layer.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include <type_traits>
#include "catch.hpp"

using namespace qwen3vl;

namespace {

using Arch = arch::native;

/// The channel that token `t` of head `h` has, key or value: a different number everywhere, with more bits than bf16
/// keeps.
float channel(std::int64_t h, std::int64_t t, std::int64_t c, bool value) {
    return testing::Rng(static_cast<std::uint64_t>(((h * 100003 + t) * 257 + c) * 2 + value)).signed_unit() * 10.0f;
}
/// What a codec keeps of a row, channel by channel: the value, and by how much it may miss it.
template <class Codec>
struct Kept {
    static_assert(std::is_same_v<Codec, kv_cache::Float32> || std::is_same_v<Codec, kv_cache::Bf16>);
    explicit Kept(const std::vector<float>&) {}
    bool holds(std::size_t, float stored, float v) const {  // test_half.cpp holds bf16 to nearest even
        return stored == (std::is_same_v<Codec, kv_cache::Float32> ? v : static_cast<float>(bf16(v)));
    }
};
template <>
struct Kept<kv_cache::Int8> {
    double scale = 0;
    explicit Kept(const std::vector<float>& row) {
        for (const float v : row) scale = std::max(scale, std::abs(static_cast<double>(v)) / 127);
    }
    bool holds(std::size_t, float stored, float v) const {
        // half a step, which bfloat16 widens by 2^-7 at most; the inverse and the product are rounded
        return std::abs(static_cast<double>(stored) - static_cast<double>(v)) <=
               0.5 * scale * (1 + 0x1p-7) * (1 + 0x1p-14);
    }
};
template <>
struct Kept<kv_cache::Int4> {
    std::vector<double> ends;  // of each group of 32 channels, the value of largest magnitude
    explicit Kept(const std::vector<float>& row) : ends((row.size() + 31) / 32) {
        for (std::size_t c = 0; c < row.size(); ++c) {
            const auto v = static_cast<double>(row[c]);
            double& end = ends[c / 32];
            if (std::abs(v) > std::abs(end) || (v < 0 && v == -end)) end = v;  // of both signs, the negative one
        }
    }
    bool holds(std::size_t c, float stored, float v) const {
        const double scale = std::abs(ends[c / 32]) / 8,
                     error = std::abs(static_cast<double>(stored) - static_cast<double>(v));
        // half a step; beyond 7 steps on the side of the other sign, what is cut there; both ends move by the rounding
        // of the scale, 2^-8 of 8 steps
        const double beyond = -static_cast<double>(v) / std::copysign(scale, ends[c / 32]) - 7;
        return error <= scale * (std::max(0.5, beyond) + 8 * 0x1p-8) * (1 + 0x1p-14);
    }
};

/// Offloaded with so few tokens in memory that most come back from disk, too.
template <class Codec, Tokens Recent>
using Offloaded = kv_cache::Offloaded<kv_cache::Contiguous<Codec>, Recent>;
using Caches =
    concat_t<kv_cache::all,
             list<Offloaded<kv_cache::Float32, Tokens{1}>, Offloaded<kv_cache::Int8, Tokens{64}>,
                  Offloaded<kv_cache::Int4, Tokens{200}>, kv_cache::CrossLayer<Offloaded<kv_cache::Bf16, Tokens{1}>>>>;

/// Of a head's key and value.
template <class Cache>
std::int64_t token_bytes(std::int64_t channels) {
    using Codec = typename Cache::codec;
    if (std::is_same_v<Codec, kv_cache::Int4>) return 2 * round_up(channels, 32) / 32 * 18;
    return 2 * (std::is_same_v<Codec, kv_cache::Int8> ? channels + 2
                                                      : channels * (std::is_same_v<Codec, kv_cache::Float32> ? 4 : 2));
}

template <class Cache>
struct Filled {
    kv_cache::Extent extent;
    std::vector<std::byte> memory;
    testing::StandaloneLayer<Cache> layer;

    explicit Filled(const kv_cache::Extent& e)
        : extent(e), memory(static_cast<std::size_t>(Cache::bytes(e))), layer(memory.data(), extent) {}
    std::vector<float> row(std::int64_t h, std::int64_t token, bool value) const {
        std::vector<float> r;
        for (std::int64_t c = 0; c < extent.channels; ++c) r.push_back(channel(h, token, c, value));
        return r;
    }
    void write(std::int64_t token) {
        kv_cache::reserve_tokens(layer, token, 1);
        for (std::int64_t h = 0; h < extent.kv_heads; ++h)
            layer.template write<Arch>(h, token, row(h, token, false).data(), row(h, token, true).data());
    }
    /// Channels of one token that differ from what was written, with `tokens` stored.
    int differences(std::int64_t token, std::int64_t tokens) const {
        int n = 0;
        for (std::int64_t h = 0; h < extent.kv_heads; ++h) {
            const auto tile = testing::tile_of(layer, h, token / kv_cache::tile_keys, tokens);
            const std::int64_t i = token - tile.first;
            n += i < 0 || i >= tile.count;
            const auto key = row(h, token, false), value = row(h, token, true);
            const Kept<typename Cache::codec> kept_key(key), kept_value(value);
            for (std::int64_t c = 0; c < extent.channels; ++c) {
                const auto at = static_cast<std::size_t>(c);
                n += !kept_key.holds(at, tile.key(i, c), key[at]);
                n += !kept_value.holds(at, tile.value(i, c), value[at]);
            }
        }
        return n;
    }
};

#if defined(QWEN3VL_SANITIZED)
constexpr std::int64_t most_tokens = 400;  // what is checked grows with their square
#else
constexpr std::int64_t most_tokens = 700;
#endif

}  // namespace

TEMPLATE_LIST_TEST_CASE("a cache gives back what its mask can still show", "", testing::tuple_t<Caches>) {
    using Cache = typename TestType::type;
    static_assert(concepts::KvCache<Cache>);
    static_assert(Cache::can_rewind == (Cache::capacity == 0 && !kv_cache::TilesByQuery<typename Cache::Layer>));
    const auto check = [](auto mask_tag) {
        using Mask = typename decltype(mask_tag)::type;
        const kv_cache::Extent extent{2, 32, most_tokens, Mask::span, Mask::sinks};
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

TEMPLATE_LIST_TEST_CASE("tiles are consecutive, aligned and cut at the last token", "", testing::tuple_t<Caches>) {
    using Cache = typename TestType::type;
    Filled<Cache> cache({1, 16, 200, 64, 4});
    for (std::int64_t t = 0; t < 200; ++t) cache.write(t);
    for (std::int64_t tokens : {1, 63, 64, 65, 128, 200})
        for (std::int64_t i = 0; i * kv_cache::tile_keys < tokens; ++i) {
            const auto tile = testing::tile_of(cache.layer, 0, i, tokens);
            CHECK(tile.first == i * kv_cache::tile_keys);
            CHECK(tile.count == std::min<std::int64_t>(kv_cache::tile_keys, tokens - tile.first));
            CHECK(tile.channels == 16);
        }
}

TEMPLATE_LIST_TEST_CASE("a cache keeps within its bytes", "", testing::tuple_t<Caches>) {
    using Cache = typename TestType::type;
    const kv_cache::Extent extent{3, 48, 300, 64, 70};
    const auto bytes = static_cast<std::size_t>(Cache::bytes(extent));
    const auto memory = std::make_unique<std::byte[]>(bytes);  // a sanitizer sees a write past it
    testing::StandaloneLayer<Cache> layer(memory.get(), extent);
    const std::vector<float> row(48, 1.0f);
    for (std::int64_t t = 0; t < extent.tokens; ++t) {
        kv_cache::reserve_tokens(layer, t, 1);
        for (std::int64_t h = 0; h < extent.kv_heads; ++h) layer.template write<Arch>(h, t, row.data(), row.data());
    }
    if constexpr (Cache::capacity > 0) {
        CHECK(Cache::bytes({3, 48, 1 << 20, 64, 70}) == Cache::bytes(extent));  // does not grow with the context
        // two tiles of sinks, and whole tiles for the rest of the capacity
        CHECK(static_cast<std::int64_t>(bytes) ==
              3 * (128 + round_up(Cache::capacity - 70, 64)) * token_bytes<Cache>(48));
    } else if constexpr (kv_cache::TilesByQuery<typename Cache::Layer>) {
        // 300 tokens in 4 bits; a query's tile, two before it and two more of a chunk in 16
        CHECK(static_cast<std::int64_t>(bytes) == 3 * (320 * token_bytes<Cache>(48) + 5 * 64 * 2 * 48 * 2));
    } else if constexpr (kv_cache::Offloads<Cache>) {
        // in memory or on disk, in whole blocks of a disk, and two blocks more
        CHECK(static_cast<std::int64_t>(bytes) + Cache::file_bytes(extent) ==
              2 * 512 + 3 * 5 * round_up(64 * token_bytes<Cache>(48), 512));
        CHECK(Cache::bytes({3, 48, 1 << 20, 64, 70}) ==
              Cache::bytes({3, 48, 1 << 21, 64, 70}));  // does not grow with the context
    } else {
        CHECK(static_cast<std::int64_t>(bytes) == 3 * 320 * token_bytes<Cache>(48));
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
        return ring.differences(first + 1 - Mask::span,
                                first + chunk);  // the oldest key that the chunk's first token sees
    };
    CHECK(lost(largest) == 0);
    CHECK(lost(largest + 1) > 0);
}

TEST_CASE("int8 saves 49 percent of bf16 at head_dim 128, its scales counted") {
    const kv_cache::Extent extent{8, 128, 4096, 0, 0};
    const auto bf16_bytes = static_cast<double>(kv_cache::Contiguous<kv_cache::Bf16>::bytes(extent));
    CHECK(static_cast<double>(kv_cache::Contiguous<kv_cache::Int8>::bytes(extent)) <= 0.51 * bf16_bytes);
}

TEST_CASE("int4 saves 70 percent of bf16 at head_dim 128, its scales counted") {
    const kv_cache::Extent extent{8, 128, 4096, 0, 0};
    const auto bf16_bytes = static_cast<double>(kv_cache::Contiguous<kv_cache::Bf16>::bytes(extent));
    CHECK(static_cast<double>(kv_cache::Contiguous<kv_cache::Int4>::bytes(extent)) <= 0.3 * bf16_bytes);
}

TEST_CASE("int4 keeps both ends of a group, groups of any magnitude, and channels that fill no group") {
    using Codec = kv_cache::Int4;
    constexpr std::int64_t channels = 48;  // a group and a half
    alignas(64) std::vector<std::byte> memory(static_cast<std::size_t>(Codec::tile_bytes(channels)));
    std::vector<float> row(channels);
    std::int64_t token = 0;
    for (const float magnitude : {1.0f, -1.0f, 1e-20f, 1e30f, -3.0e38f, 0.0f, 1e-38f}) {
        CAPTURE(magnitude);
        for (std::int64_t c = 0; c < channels; ++c)
            row[static_cast<std::size_t>(c)] = magnitude * (static_cast<float>(c % 9 - 4) / 4);
        Codec::write<Arch>(memory.data(), channels, token, row.data(), row.data());
        const auto tile = Codec::view(memory.data(), channels, 0, token + 1);
        const Kept<Codec> kept(row);
        std::vector<float> wide(static_cast<std::size_t>(2 * channels * kv_cache::tile_keys), 99.0f);
        const auto floats = kv_cache::widened<Arch>(tile, wide.data());
        for (std::int64_t c = 0; c < channels; ++c) {
            const auto at = static_cast<std::size_t>(c);
            if (std::abs(magnitude) > 1e-30f) {
                CHECK(kept.holds(at, tile.key(token, c), row[at]));
                CHECK(kept.holds(at, tile.value(token, c), row[at]));
            } else {
                CHECK(tile.key(token, c) == 0.0f);  // zero, and what is too small to have a scale
            }
            CHECK(floats.key(token, c) == tile.key(token, c));
            CHECK(floats.value(token, c) == tile.value(token, c));
        }
        ++token;
    }
}

TEST_CASE("int8 keeps rows of any magnitude") {
    using Cache = kv_cache::Contiguous<kv_cache::Int8>;
    const kv_cache::Extent extent{1, 32, 64, 0, 0};
    std::vector<std::byte> memory(static_cast<std::size_t>(Cache::bytes(extent)));
    Cache::Layer layer(memory.data(), extent);
    const auto write = [&](std::int64_t token, float magnitude) {
        std::vector<float> row(32, 0.0f);
        row[3] = magnitude;
        row[17] = -magnitude;
        row[31] = 0.25f * magnitude;
        layer.write<Arch>(0, token, row.data(), row.data());
    };
    std::int64_t token = 0;
    for (const float magnitude : {1.0f, 1e-20f, 1e30f, 3.0e38f, 127.0f, 0.0f, 1e-38f}) write(token++, magnitude);
    const auto tile = layer.tile(0, 0, token);
    token = 0;
    for (const double magnitude : {1.0, 1e-20, 1e30, 3.0e38, 127.0}) {
        // half a step, as above
        const double error = magnitude / 127 * 0.5 * (1 + 0x1p-7) * (1 + 0x1p-14);
        for (const bool value : {false, true}) {
            const auto found = [&](std::int64_t c) {
                return static_cast<double>(value ? tile.value(token, c) : tile.key(token, c));
            };
            CHECK(std::abs(found(3) - magnitude) <= error);
            CHECK(std::abs(found(17) + magnitude) <= error);
            CHECK(std::abs(found(31) - 0.25 * magnitude) <= error);
            CHECK(found(0) == 0);
        }
        ++token;
    }
    for (; token < tile.count; ++token)  // zero, and what is too small to have a scale
        for (std::int64_t c = 0; c < 32; ++c) CHECK(tile.key(token, c) == 0.0f);
}

TEST_CASE("channels are padded to whole vectors") {
    CHECK(kv_cache::padded_channels(8) == 16);
    CHECK(kv_cache::padded_channels(72) == 80);
    CHECK(kv_cache::padded_channels(128) == 128);
}

TEMPLATE_LIST_TEST_CASE("a cache is filled with what another of its type gave, zeros behind the last token", "",
                        testing::tuple_t<Caches>) {
    using Cache = typename TestType::type;
    for (const std::int64_t tokens : {0, 1, 64, 100, 700}) {
        CAPTURE(Cache::name, Cache::codec::name, tokens);
        Filled<Cache> from({2, 32, 700, 64, 4}), to({2, 32, 900, 64, 4});
        for (std::int64_t t = 0; t < 700; ++t) to.write(t);
        for (std::int64_t t = 0; t < tokens; ++t) from.write(t);
        std::vector<std::byte> bytes;
        from.layer.for_each_piece(
            tokens, [&](std::span<std::byte> piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
        CHECK(static_cast<std::int64_t>(bytes.size()) == Cache::saved_bytes(from.extent, tokens));
        CHECK(Cache::saved_bytes(to.extent, tokens) == Cache::saved_bytes(from.extent, tokens));
        std::size_t at = 0;
        kv_cache::fill_pieces(to.layer, tokens, [&](std::span<std::byte> piece) {
            std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), piece.size(), piece.begin());
            at += piece.size();
        });
        int differences = 0;
        for (std::int64_t t = std::max<std::int64_t>(0, tokens - 64); t < tokens; ++t)
            differences += to.differences(t, tokens);  // the mask's span
        for (std::int64_t t = 0; t < std::min<std::int64_t>(4, tokens); ++t)
            differences += to.differences(t, tokens);  // and its sinks
        CHECK(differences == 0);
        // a ring that has gone round holds older keys there, which a mask may still show
        if (tokens % kv_cache::tile_keys && (Cache::capacity == 0 || tokens <= Cache::capacity)) {
            const auto tile = testing::tile_of(to.layer, 1, tokens / kv_cache::tile_keys, tokens);
            float behind = 0;
            for (std::int64_t i = tile.count; i < kv_cache::tile_keys; ++i)
                for (std::int64_t c = 0; c < tile.channels; ++c)
                    behind += std::abs(tile.key(i, c)) + std::abs(tile.value(i, c));
            CHECK(behind == 0);
        }
    }
}
