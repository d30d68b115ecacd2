#include "fixture.hpp"

using namespace qwen3vl_test;

namespace tempered_test {

constexpr Temperatures uneven{
    .language_to_language = 1.5f, .language_to_vision = 0.5f, .vision_to_language = 3, .vision_to_vision = 0.8f};
template <class Inner>
using Mask = mask::Tempered<uneven, Inner>;
using Window = mask::SlidingWindow<qwen3vl::Window{.tokens = 70, .sinks = 3}>;
using Typed = mask::ByModality<Sees{.vision_to_language = false, .sinks = 2}>;

bool vision(const Sequence& s, std::size_t token) {
    return static_cast<std::int64_t>(token) % (s.picture + s.text) < s.picture;
}

template <class Inner>
std::vector<double> expected(const Sequence& s) {
    testing::AlternatingTypes types(s.tokens, s.picture, s.text);
    const Inner inner = testing::mask_over<Inner>(types.types());
    constexpr double by_direction[2][2] = {{1.5, 0.5}, {3, static_cast<double>(0.8f)}};
    return s.expected_where(
        [&](std::size_t q, std::size_t k) {
            return inner.visible(static_cast<std::int64_t>(q), static_cast<std::int64_t>(k));
        },
        [&](std::size_t q, std::size_t k) { return by_direction[vision(s, q)][vision(s, k)]; });
}

template <class Attention, class Cache = kv_cache::Contiguous<kv_cache::Float32>>
void check(const Sequence& s, const std::vector<double>& expected) {
    CAPTURE(Attention::name, Attention::mask::name, Cache::name);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto whole = run<Attention, Cache>(s, threads, s.tokens);
    // scores are up to twice as large, and rounded once more
    CHECK(testing::largest_difference(whole, expected) <= 3 * s.tolerance());
    for (std::int64_t chunk : {1, 90}) CHECK(testing::same_bits(run<Attention, Cache>(s, serial, chunk), whole));
}

TEST_CASE("scores are divided by the temperature between the modalities of query and key, under any mask") {
    const Sequence s(size_of(260, 150), 2, 3, 24);
    const auto causal = expected<mask::Causal>(s);
    check<attention::Flash<Mask<mask::Causal>>>(s, causal);
    check<attention::Dense<Mask<mask::Causal>>>(s, causal);
    check<attention::Chunked<Mask<mask::Causal>, Tokens{64}>>(s, causal);
    check<attention::Flash<Mask<Window>>>(s, expected<Window>(s));
    check<attention::Flash<Mask<Typed>>>(s, expected<Typed>(s));
    CHECK(testing::largest_difference(causal, s.expected<mask::Causal>()) > 0.1);
}

TEST_CASE("temperatures over long sequences: several segments of keys, split between threads in decoding") {
    Sequence s(1024 + 130, 1, 2, 8);
    s.picture = 500;
    s.text = 150;
    execution::Threads<>::Team threads(3);
    using Attention = attention::Flash<Mask<mask::Causal>>;
    const auto whole = run<Attention>(s, threads, s.tokens);
    CHECK(testing::largest_difference(whole, expected<mask::Causal>(s)) <= 3 * s.tolerance());
    LayerRun<Attention, kv_cache::Contiguous<kv_cache::Float32>, execution::Threads<>::Team> layer(s, threads);
    layer.chunk(0, s.tokens - 20);
    for (std::int64_t t = s.tokens - 20; t < s.tokens; ++t) layer.chunk(t, 1);
    CHECK(testing::same_bits(layer.out(), whole));
}

TEST_CASE("temperatures of 1 are no temperatures") {
    STATIC_REQUIRE(std::is_same_v<mask::Tempered<Temperatures{}>, mask::Causal>);
    STATIC_REQUIRE(std::is_same_v<mask::Tempered<Temperatures{}, Typed>, Typed>);
    STATIC_REQUIRE(!concepts::ScalesScores<Typed>);
    STATIC_REQUIRE(concepts::ScalesScores<Mask<Typed>>);
    STATIC_REQUIRE((Mask<Window>::span == 70 && Mask<Window>::sinks == 3));
    // a direction that no token takes, beside one of 1
    execution::Serial::Team team(1);
    Sequence text(90, 1, 2, 8);
    text.picture = 0;
    text.text = 90;
    CHECK(testing::same_bits(
        run<attention::Flash<mask::Tempered<Temperatures{.language_to_vision = 7, .vision_to_vision = 3}>>>(text, team,
                                                                                                            90),
        run<attention::Flash<>>(text, team, 90)));
}

}  // namespace tempered_test
