#include "fixture.hpp"

using namespace qwen3vl_test;

namespace bidirectional_pictures_test {

/// Pictures of 23 tokens and texts of 18, which take turns.
constexpr std::int64_t picture = 23, turn = 23 + 18;

template <class Inner>
std::vector<double> expected(const Sequence& s) {
    testing::AlternatingTypes types(s.tokens, s.picture, s.text);
    const Inner inner = testing::mask_over<Inner>(types.types());
    return s.expected_where([&](std::size_t q, std::size_t k) {
        const auto query = static_cast<std::int64_t>(q), key = static_cast<std::int64_t>(k);
        const bool together = query / turn == key / turn && query % turn < picture && key % turn < picture;
        return together || inner.visible(query, key);
    });
}

/// Chunks that hold whole pictures: by turns, and the picture at once with texts token by token.
template <class Attention, class Cache = kv_cache::Contiguous<kv_cache::Float32>>
void check(const Sequence& s, const std::vector<double>& expected) {
    CAPTURE(Attention::name, Attention::mask::name, Cache::name);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto whole = run<Attention, Cache>(s, serial, turn);
    CHECK(testing::largest_difference(whole, expected) <= s.tolerance());
    if (Cache::capacity == 0) CHECK(testing::same_bits(run<Attention, Cache>(s, threads, s.tokens), whole));
    LayerRun<Attention, Cache, execution::Threads<>::Team> layer(s, threads);
    for (std::int64_t t = 0; t < s.tokens; ++t) {
        const std::int64_t n = t % turn == 0 ? std::min(picture, s.tokens - t) : 1;
        layer.chunk(t, n);
        t += n - 1;
    }
    CHECK(testing::same_bits(layer.out(), whole));
}

TEST_CASE("tokens of a picture see each other both ways, and text is causal") {
    using mask::BidirectionalPictures;
    const Sequence s(size_of(300, 170), 2, 3, 24);
    const auto both_ways = expected<mask::Causal>(s);
    CHECK(testing::largest_difference(both_ways, s.expected<mask::Causal>()) > 0.1);
    check<attention::Flash<BidirectionalPictures<>>>(s, both_ways);
    check<attention::Dense<BidirectionalPictures<>>>(s, both_ways);
    check<attention::Chunked<BidirectionalPictures<>, Tokens{64}>>(s, both_ways);
    check<attention::Flash<BidirectionalPictures<>>, kv_cache::Paged<kv_cache::Float32>>(s, both_ways);

    // a window shorter than a picture, whose tokens see it whole all the same
    using Short = mask::SlidingWindow<Window{.tokens = 10, .sinks = 2}>;
    check<attention::Flash<BidirectionalPictures<Short>>, kv_cache::Ring<Tokens{96}, kv_cache::Float32>>(
        s, expected<Short>(s));
    using Apart = mask::ByModality<Sees{.language_to_vision = false, .vision_to_vision = false}>;
    check<attention::Flash<BidirectionalPictures<Apart>>>(s, expected<Apart>(s));
}

}  // namespace bidirectional_pictures_test
