#include "fixture.hpp"

using namespace qwen3vl_test;

namespace offloaded_test {

template <class Codec, Tokens Recent>
using Offloaded = kv_cache::Offloaded<kv_cache::Contiguous<Codec>, Recent>;

/// Over a cache whose older tiles are on disk, attention must have the bits that it has over one that is all in memory.
template <class Attention, class Codec, Tokens Recent>
void check(const Sequence& s, std::initializer_list<std::int64_t> chunks) {
    using Cache = Offloaded<Codec, Recent>;
    CAPTURE(Attention::name, Attention::mask::name, Codec::name, Recent.n, s.tokens, s.kv_heads, s.group, s.head_dim);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto expected = run<Attention, kv_cache::Contiguous<Codec>>(s, serial, s.tokens);
    const std::int64_t largest = Cache::largest_chunk({s.kv_heads, s.channels(), s.tokens, 0, 0});
    for (std::int64_t chunk : chunks) {
        CAPTURE(chunk, largest);
        CHECK(testing::same_bits(run<Attention, Cache>(s, threads, std::min(chunk, largest)), expected));
    }
    CHECK(testing::same_bits(run<Attention, Cache>(s, serial, std::min<std::int64_t>(s.tokens, largest)), expected));
}

template <class Mask>
using ShortChunks = attention::Chunked<Mask, Tokens{64}>;
template <class Mask>
using LongChunks = attention::Chunked<Mask, Tokens{1536}>;

using Masks = list<mask::Causal, mask::DynamicSparse<BlockBudget{.block = 192, .keep = 1, .local = 1}, mask::MeanKey>,
                   mask::ByModality<Sees{.language_to_vision = false, .vision_to_language = false, .sinks = 1}>
#if !defined(QWEN3VL_SANITIZED)  // where each takes half a minute to compile
                   ,
                   mask::SlidingWindow<Window{.tokens = 100, .sinks = 70}>,
                   mask::BlockSparse<BlockPattern{.block = 16, .local = 2, .global = 1, .stride = 3}>,
                   mask::DynamicSparse<BlockBudget{.keep = 2, .local = 1}>,
                   mask::DynamicSparse<BlockBudget{.block = 16, .keep = 3, .local = 1}>
#endif
                   >;

TEMPLATE_LIST_TEST_CASE("keys that come back from disk give the bits of keys in memory", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    for (const std::int64_t tokens : {1, 64, 65, 129, 300})
        check<attention::Flash<Mask>, kv_cache::Float32, Tokens{1}>(Sequence(tokens, 2, 3, 8), {1, 7, 64});
    check<ShortChunks<Mask>, kv_cache::Bf16, Tokens{128}>(Sequence(500, 2, 2, 8), {1, 100});
    check<attention::Flash<Mask>, kv_cache::Bf16, Tokens{300}>(Sequence(5 * 1024 + 70, 2, 2, 8),
                                                               {200, 301});  // several stages
}

TEMPLATE_TEST_CASE("so do those of every codec and extent", "", mask::Causal,
                   (mask::DynamicSparse<BlockBudget{.block = 192, .keep = 1, .local = 1}, mask::MeanKey>)) {
    using Flash = attention::Flash<TestType>;
    check<Flash, kv_cache::Float32, Tokens{0}>(Sequence(200, 1, 2, 8), {1});
    check<Flash, kv_cache::Bf16, Tokens{64}>(Sequence(700, 2, 2, 24), {13, 150});
    check<Flash, kv_cache::Bf16, Tokens{64}>(Sequence(200, 1, 200, 8),
                                             {1, 60});  // a group that exceeds a block of queries
    check<Flash, kv_cache::Int8, Tokens{64}>(Sequence(400, 4, 1, 24), {1, 90});  // multi-head
    check<Flash, kv_cache::Int4, Tokens{64}>(Sequence(400, 1, 4, 40), {1, 90});  // multi-query
    check<LongChunks<TestType>, kv_cache::Int8, Tokens{2000}>(Sequence(5 * 1024 + 70, 2, 2, 8), {1500});
}

TEST_CASE("one token after another over several stages has the same bits") {
    using Attention = attention::Flash<>;
    const Sequence s(3 * 1024 + 200, 2, 2, 8);
    execution::Threads<>::Team threads(3);
    const auto expected = run<Attention, kv_cache::Contiguous<kv_cache::Bf16>>(s, threads, s.tokens);
    LayerRun<Attention, Offloaded<kv_cache::Bf16, Tokens{512}>, execution::Threads<>::Team> layer(s, threads);
    for (std::int64_t first = 0; first < s.tokens - 100; first += 100) layer.chunk(first, 100);
    for (std::int64_t t = s.tokens / 100 * 100 - 100; t < s.tokens; ++t) layer.chunk(t, 1);
    CHECK(testing::same_bits(layer.out(), expected));
}

TEST_CASE("a mask's choice is all that is read, and everything once for all queries of a chunk") {
    constexpr std::int64_t before = 5 * 1024, tile = 2 * 64 * 16 * 2,
                           away = before / 64 - 1;  // two tiles are in memory
    Sequence s(before + 64, 2, 2, 16);
    s.picture = s.text = 1024;
    execution::Threads<>::Team threads(2);
    const auto read_by = [&](auto attention_tag, std::int64_t count) {
        using Attention = typename decltype(attention_tag)::type;
        LayerRun<Attention, Offloaded<kv_cache::Bf16, Tokens{64}>, execution::Threads<>::Team> layer(s, threads);
        for (std::int64_t first = 0; first < before; first += 64) layer.chunk(first, 64);
        auto& store = *layer.cache().store();
        const auto so_far = store.bytes_read();
        layer.chunk(before, count);
        return store.bytes_read() - so_far;
    };
    for (const std::int64_t count : {1, 64}) {
        const auto read = read_by(type_tag<attention::Flash<>>{}, count);
        // what was read ahead of this chunk counts for the one before it; the tile that left memory last may cost its
        // stage again
        CHECK(read >= (away - 16) * 2 * tile);
        CHECK(read <= (away + 16) * 2 * tile);
    }
    CHECK(read_by(type_tag<attention::Flash<mask::SlidingWindow<Window{.tokens = 60}>>>{}, 64) == 0);
    // the last tokens are text, as are two fifths of those before
    const auto text = read_by(type_tag<attention::Flash<mask::ByModality<Sees{.language_to_vision = false}>>>{}, 64);
    CHECK(text >= (2 * 16 - 16) * 2 * tile);
    CHECK(text <= (2 * 16 + 16) * 2 * tile);
    // each head the first block and two others, where they are not in memory
    const auto chosen =
        read_by(type_tag<attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 2, .local = 1}>>>{}, 1);
    CHECK(chosen > 0);
    CHECK(chosen <= 2 * 3 * tile);
}

}  // namespace offloaded_test
