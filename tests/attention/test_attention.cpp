#include "fixture.hpp"

using namespace qwen3vl_test;

namespace attention_test {

template <class L, class... M>
struct attentions_of {
    using type = L;
};
template <class L, class M, class... R>
struct attentions_of<L, M, R...> : attentions_of<concat_t<L, attention::all<M>>, R...> {};
template <class... M>
attentions_of<list<>, M...> attentions(list<M...>*);

/// Every algorithm under every mask, and under windows that are shorter than a tile and that end within one.
using Masks = concat_t<
    concat_t<mask::all, mask::typed>,
    list<mask::SlidingWindow<Window{.tokens = 1}>, mask::SlidingWindow<Window{.tokens = 7, .sinks = 3}>,
         mask::SlidingWindow<Window{.tokens = 100, .sinks = 70}>,
         mask::BlockSparse<BlockPattern{.block = 16, .local = 2, .global = 1, .stride = 3}>,
         mask::BlockSparse<BlockPattern{.block = 192, .local = 1, .global = 0, .stride = 4}>, mask::ByModality<>,
         mask::ByModality<Sees{.language_to_vision = false, .vision_to_language = false, .sinks = 1}>,
         mask::ByModality<Sees{.language_to_language = false, .language_to_vision = false, .sinks = 70}>>>;
using Attentions = concat_t<typename decltype(attentions(static_cast<Masks*>(nullptr)))::type,
                            list<attention::Chunked<mask::Causal, Tokens{64}>>>;

TEMPLATE_LIST_TEST_CASE("attention equals its oracle however it is cut and run", "", testing::tuple_t<Attentions>) {
    using Attention = typename TestType::type;
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto check = [&](const Sequence& s) {
        CAPTURE(Attention::name, Attention::mask::name, Attention::mask::span, s.tokens, s.kv_heads, s.group,
                s.head_dim);
        const auto whole = run<Attention>(s, serial, s.tokens);
        CHECK(testing::largest_difference(whole, s.expected<typename Attention::mask>()) <= s.tolerance());
        CHECK(testing::same_bits(run<Attention>(s, threads, s.tokens), whole));
        for (std::int64_t chunk : {1, 7, 64, 90})
            if (chunk < s.tokens) CHECK(testing::same_bits(run<Attention>(s, serial, chunk), whole));
    };
    for (std::int64_t head_dim : {4, 8, 24, 32, 64, 72, 128}) check(Sequence(70, 2, 2, head_dim));
    for (std::int64_t tokens : {1, 2, 15, 63, 64, 65, 127, 128, 129, 300}) check(Sequence(tokens, 1, 3, 8));
    check(Sequence(67, 4, 1, 24));   // multi-head
    check(Sequence(67, 1, 4, 24));   // multi-query
    check(Sequence(21, 1, 200, 8));  // a group that exceeds a block of queries
    check(Sequence(130, 3, 2, 32));  // grouped
}

TEMPLATE_LIST_TEST_CASE("attention over several segments of keys has the bits of one token after another", "",
                        testing::tuple_t<Attentions>) {
    using Attention = typename TestType::type;
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const std::int64_t later = size_of(1000, 20);
    const Sequence s(1040 + later + 78, 2, 2, 8);
    const auto whole = run<Attention>(s, threads, s.tokens);
    CHECK(testing::largest_difference(whole, s.expected<typename Attention::mask>()) <= s.tolerance());
    const auto check = [&](auto& team) {
        LayerRun<Attention, kv_cache::Contiguous<kv_cache::Float32>, std::remove_reference_t<decltype(team)>> layer(
            s, team);
        layer.chunk(0, 1000);
        for (std::int64_t t = 1000; t < 1040; ++t) layer.chunk(t, 1);
        layer.chunk(1040, later);
        for (std::int64_t t = 1040 + later; t < s.tokens; ++t) layer.chunk(t, 1);
        CHECK(testing::same_bits(layer.out(), whole));
    };
    check(serial);
    check(threads);
}

TEMPLATE_LIST_TEST_CASE("attention survives scores of hundreds", "", testing::tuple_t<Attentions>) {
    using Attention = typename TestType::type;
    execution::Serial::Team team(1);
    Sequence s(90, 1, 1, 16);
    for (float& q : s.queries)
        q *= 100.0f;  // scores within 3 * 100 * 4 = 1200: an exponential without its shift overflows
    const auto found = run<Attention>(s, team, s.tokens);
    // as Sequence::tolerance, with the scores a hundred times as large
    CHECK(testing::largest_difference(found, s.expected<typename Attention::mask>()) <= 100 * s.tolerance());
}

}  // namespace attention_test
