#include "fixture.hpp"

using namespace qwen3vl_test;

namespace {

/// A window over a ring must see what the same window sees over the whole sequence.
template <class Mask, Tokens T, class Codec, template <class> class Algorithm>
void check_ring() {
    using Attention = Algorithm<Mask>;
    using Ring = kv_cache::Ring<T, Codec>;
    execution::Serial::Team team(1);
    const Sequence s(700, 2, 2, 8);
    const auto expected = run<Attention, kv_cache::Contiguous<Codec>>(s, team, 100);
    const auto largest = Ring::largest_chunk({s.kv_heads, s.channels(), s.tokens, Mask::span, Mask::sinks});
    REQUIRE(largest >= 1);
    for (std::int64_t chunk : {std::int64_t{1}, std::int64_t{13}, largest}) {
        CAPTURE(Attention::name, Mask::span, Mask::sinks, T.n, chunk, largest);
        if (chunk <= largest) CHECK(testing::same_bits(run<Attention, Ring>(s, team, chunk), expected));
    }
}

template <class Codec, template <class> class Algorithm>
void check_rings() {
    check_ring<mask::SlidingWindow<Window{.tokens = 64}>, Tokens{64}, Codec, Algorithm>();
    check_ring<mask::SlidingWindow<Window{.tokens = 64, .sinks = 4}>, Tokens{256}, Codec, Algorithm>();
    check_ring<mask::SlidingWindow<Window{.tokens = 100, .sinks = 70}>, Tokens{170}, Codec, Algorithm>();
    check_ring<mask::SlidingWindow<Window{.tokens = 1, .sinks = 64}>, Tokens{65}, Codec, Algorithm>();
    check_ring<mask::SlidingWindow<Window{.tokens = 33, .sinks = 128}>, Tokens{500}, Codec, Algorithm>();
}

}  // namespace

TEST_CASE("Flash over a ring equals Flash over a contiguous cache") {
    check_rings<kv_cache::Float32, attention::Flash>();
    check_rings<kv_cache::Bf16, attention::Flash>();
}

TEST_CASE("Dense over a ring equals Dense over a contiguous cache") {
    check_rings<kv_cache::Float32, attention::Dense>();
    check_rings<kv_cache::Bf16, attention::Dense>();
}

TEST_CASE("a bf16 cache costs the rounding of its keys and values") {
    execution::Serial::Team team(1);
    const Sequence s(200, 2, 2, 32);
    using Attention = attention::Flash<mask::Causal>;
    const auto found = run<Attention, kv_cache::Contiguous<kv_cache::Bf16>>(s, team, s.tokens);
    // a key's rounding moves a score by at most |q| |k| sqrt(head_dim) roundoffs; that counts in the numerator and in the sum; then the value's own
    const double scores = 3 * std::sqrt(32.0);
    CHECK(testing::largest_difference(found, s.expected<mask::Causal>()) <= s.tolerance() + testing::bf16_roundoff * (2 * scores + 1));
}
