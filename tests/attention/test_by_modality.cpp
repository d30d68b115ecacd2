#include "fixture.hpp"

using namespace qwen3vl_test;

namespace by_modality_test {

constexpr Sees within{.language_to_vision = false, .vision_to_language = false, .sinks = 2},
    blind{.vision_to_language = false}, only_across{.language_to_language = false, .vision_to_vision = false};
template <Sees S>
using Flash = attention::Flash<mask::ByModality<S>>;

/// A long sequence of long pictures and texts: whole tiles and segments of one modality.
Sequence long_runs() {
    Sequence s(2 * 1024 + 130, 2, 2, 24);
    s.picture = 1200;
    s.text = 150;
    return s;
}

template <class Attention, class Cache = kv_cache::Contiguous<kv_cache::Float32>>
void check(const Sequence& s, const std::vector<double>& expected) {
    CAPTURE(Attention::name, Cache::name);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto whole = run<Attention, Cache>(s, threads, s.tokens);
    CHECK(testing::largest_difference(whole, expected) <= s.tolerance());
    for (std::int64_t chunk : {100, 777}) CHECK(testing::same_bits(run<Attention, Cache>(s, serial, chunk), whole));
    LayerRun<Attention, Cache, execution::Threads<>::Team> layer(s, threads);
    layer.chunk(0, 1180);
    for (std::int64_t t = 1180; t < 1230; ++t) layer.chunk(t, 1);  // out of the first picture, into the text
    layer.chunk(1230, s.tokens - 1250);
    for (std::int64_t t = s.tokens - 20; t < s.tokens; ++t) layer.chunk(t, 1);
    CHECK(testing::same_bits(layer.out(), whole));
}

template <class Mask>
std::int64_t tiles_met(const Mask& mask, std::int64_t first, std::int64_t tokens) {
    const attention::QueryBlock q{nullptr, tokens, 0, 1, first, first + tokens};
    std::int64_t met = 0;
    attention::for_each_tile(
        q, mask, [](std::int64_t index) { return index; }, [&](std::int64_t) { ++met; });
    return met;
}

TEMPLATE_TEST_CASE_SIG("queries see the modalities that they may, over pictures and texts of several tiles", "",
                       ((Sees S), S), within, blind, only_across) {
    using Mask = mask::ByModality<S>;
    const Sequence s = long_runs();
    const auto expected = s.expected<Mask>();
    check<Flash<S>>(s, expected);
    check<attention::Dense<Mask>>(s, expected);
    check<attention::Chunked<Mask, Tokens{64}>>(s, expected);
    check<Flash<S>, kv_cache::Paged<kv_cache::Float32>>(s, expected);
}

TEST_CASE("where every modality is seen, ByModality has the bits of Causal") {
    execution::Threads<>::Team team(2);
    for (const Sequence& s : {Sequence(700, 2, 2, 32), long_runs()})
        for (const std::int64_t chunk : {std::int64_t{100}, s.tokens}) {
            CHECK(testing::same_bits(run<Flash<Sees{}>>(s, team, chunk), run<attention::Flash<>>(s, team, chunk)));
            CHECK(testing::same_bits(run<attention::Dense<mask::ByModality<>>>(s, team, chunk),
                                     run<attention::Dense<>>(s, team, chunk)));
        }
}

TEST_CASE("a token that sees no modality sees itself") {
    execution::Serial::Team team(1);
    const Sequence s(90, 1, 1, 8);
    const auto out = run<Flash<Sees{.language_to_language = false,
                                    .language_to_vision = false,
                                    .vision_to_language = false,
                                    .vision_to_vision = false}>>(s, team, s.tokens);
    CHECK(testing::same_bits(out, s.values));
}

TEST_CASE("the work follows the modalities that are seen") {
    testing::AlternatingTypes types(64 * 32, 64 * 3, 64);  // of four tiles the last is text
    const mask::ByModality<within> apart(types.types());
    CHECK(tiles_met(apart, 64 * 32 - 1, 1) == 1 + 8);  // the sinks' tile, and text
    CHECK(tiles_met(apart, 64 * 31 - 1, 1) == 24);     // the first tile is a picture
    CHECK(tiles_met(apart, 64 * 31 - 2, 4) == 32);     // the end of a picture and the beginning of a text
    CHECK(tiles_met(mask::ByModality<blind>(types.types()), 64 * 32 - 1, 1) == 32);
    CHECK(tiles_met(mask::ByModality<only_across>(types.types()), 64 * 32 - 1, 1) == 24 + 1);
    CHECK(tiles_met(mask::ByModality<>(types.types()), 64 * 31 - 1, 1) == 31);
}

}  // namespace by_modality_test
