#include "fixture.hpp"

using namespace qwen3vl_test;

namespace cache_by_modality_test {

using kv_cache::Bf16, kv_cache::ByModality, kv_cache::Contiguous, kv_cache::Float32, kv_cache::Int4, kv_cache::Int8,
    kv_cache::LowRank, kv_cache::TruncatedRank;

/// The same sequence with every key and value as its modality's codec keeps it.
template <class Language, class Vision>
Sequence as_kept(const Sequence& s) {
    Sequence out = s;
    const std::int64_t tokens = s.tokens, heads = s.kv_heads;
    const kv_cache::Extent e{heads, s.channels(), tokens, 0, 0};
    const auto replace = [&]<class Codec>(type_tag<Codec>, Modality m) {
        std::vector<std::byte> memory(static_cast<std::size_t>(Contiguous<Codec>::bytes(e)));
        typename Contiguous<Codec>::Layer layer(memory.data(), e);
        std::vector<float> key(static_cast<std::size_t>(s.channels())), value = key;
        for (std::int64_t t = 0; t < tokens; ++t)
            for (std::int64_t h = 0; h < heads; ++h) {
                const std::int64_t at = (t * heads + h) * s.head_dim;
                std::copy_n(s.keys.data() + at, s.head_dim, key.data());
                std::copy_n(s.values.data() + at, s.head_dim, value.data());
                layer.template write<Arch>(h, t, key.data(), value.data());
                if ((t % (s.picture + s.text) < s.picture) != (m == Modality::vision)) continue;
                const auto tile = layer.tile(h, t / kv_cache::tile_keys, t + 1);
                for (std::int64_t c = 0; c < s.head_dim; ++c) {
                    out.keys[static_cast<std::size_t>(at + c)] = tile.key(t % kv_cache::tile_keys, c);
                    out.values[static_cast<std::size_t>(at + c)] = tile.value(t % kv_cache::tile_keys, c);
                }
            }
    };
    replace(type_tag<Language>{}, Modality::language);
    replace(type_tag<Vision>{}, Modality::vision);
    return out;
}

/// The results over `Cache` have the bits of those over `Like`, in chunks of any length and in decoding.
template <class Cache, class Like>
void check(const Sequence& s, const Sequence& like) {
    CAPTURE(Cache::codec::name);
    using Attention = attention::Flash<>;
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto expected = run<Attention, Like>(like, threads, like.tokens);
    for (const std::int64_t chunk : {s.tokens, std::int64_t{50}})
        CHECK(testing::same_bits(run<Attention, Cache>(s, threads, chunk), expected));
    LayerRun<Attention, Cache, execution::Serial::Team> layer(s, serial);
    layer.chunk(0, 70);
    for (std::int64_t t = 70; t < s.tokens; ++t) layer.chunk(t, 1);
    CHECK(testing::same_bits(layer.out(), expected));
}

TEST_CASE("each token is kept by the codec of its modality, and seen by attention with the same bits") {
    const Sequence s(200, 2, 2, 40);
    check<ByModality<Bf16, Int4>, Contiguous<Float32>>(s, as_kept<Bf16, Int4>(s));
    check<ByModality<Int8, Int8>, Contiguous<Int8>>(s, s);  // factors of rows stay beside the tiles
    Sequence aligned = s;                                   // whole tiles of one modality, and one of both
    aligned.picture = 64;
    aligned.text = 96;
    check<ByModality<Float32, Bf16>, Contiguous<Float32>>(aligned, as_kept<Float32, Bf16>(aligned));
}

TEST_CASE("a truncated rank for visual tokens, whose other channels are zero") {
    Sequence s(150, 1, 2, 32);
    const auto expected = [&] {
        Sequence zeroed = s;
        for (std::int64_t t = 0; t < s.tokens; ++t)
            if (t % (s.picture + s.text) < s.picture)
                for (std::int64_t c = 16; c < s.head_dim; ++c)
                    zeroed.keys[static_cast<std::size_t>(t * s.head_dim + c)] =
                        zeroed.values[static_cast<std::size_t>(t * s.head_dim + c)] = 0;
        return zeroed.expected<mask::Causal>();
    }();
    execution::Serial::Team serial(1);
    using Cache = LowRank<Rank{32}, ByModality<Float32, TruncatedRank<Rank{16}, Float32>>>;
    const auto whole = run<attention::Flash<>, Cache>(s, serial, s.tokens);
    CHECK(testing::largest_difference(whole, expected) <= s.tolerance());
    CHECK(testing::same_bits(run<attention::Flash<>, Cache>(s, serial, 33), whole));
}

TEST_CASE("the memory is that of text alone over the ratio, and what fits is told before") {
    const kv_cache::Extent e{4, 128, 64 * 100, 0, 0};
    using Any = ByModality<Bf16, Int4>;
    using Half = ByModality<Bf16, Int4, Compression{.ratio = 2}>;
    constexpr std::int64_t text = 4 * Bf16::tile_bytes(128), visual = 4 * Int4::tile_bytes(128);
    CHECK(visual * 100 <= text * 40);  // 60 % less at least
    CHECK(Any::bytes(e) == 100 * text + visual);
    CHECK(Half::bytes(e) == 50 * text + visual);
    for (std::int64_t language = 0; language <= e.tokens; language += 7)
        CHECK(Any::holds(e, language, e.tokens - language));
    CHECK(Half::holds(e, 0, e.tokens));
    CHECK(Half::holds(e, 64 * 50, 64));
    CHECK(!Half::holds(e, 64 * 50, 65));
    CHECK(Half::holds(e, 64 * 29, 64 * 71));
    CHECK(!Half::holds(e, 64 * 32, 64 * 68));
    CHECK(std::string(Any::codec::name) == "bf16+int4");
}

}  // namespace cache_by_modality_test
