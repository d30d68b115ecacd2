#include "fixture.hpp"

using namespace qwen3vl_test;

namespace ring_test {

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

TEST_CASE("Flash over a ring equals Flash over a contiguous cache") {
    check_rings<kv_cache::Float32, attention::Flash>();
    check_rings<kv_cache::Bf16, attention::Flash>();
    check_rings<kv_cache::Int8, attention::Flash>();
    check_rings<kv_cache::Int4, attention::Flash>();
}

TEST_CASE("Dense over a ring equals Dense over a contiguous cache") {
    check_rings<kv_cache::Float32, attention::Dense>();
    check_rings<kv_cache::Bf16, attention::Dense>();
    check_rings<kv_cache::Int8, attention::Dense>();
}

/// Largest and mean distance from the oracle of attention over a codec, at head_dim 32.
template <class Attention, class Codec>
std::pair<double, double> cost(const Sequence& s) {
    execution::Serial::Team team(1);
    const auto found = run<Attention, kv_cache::Contiguous<Codec>>(s, team, s.tokens);
    const auto expected = s.expected<typename Attention::mask>();
    double sum = 0;
    for (std::size_t i = 0; i < found.size(); ++i) sum += std::abs(static_cast<double>(found[i]) - expected[i]);
    return {testing::largest_difference(found, expected), sum / static_cast<double>(found.size())};
}

TEMPLATE_LIST_TEST_CASE("a 16-, 8- or 4-bit cache costs the rounding of its keys and values", "",
                        testing::tuple_t<attention::all<mask::Causal>>) {
    using Attention = typename TestType::type;
    const Sequence s(200, 2, 2, 32);
    // a key's rounding moves a score by at most |q| |k| sqrt(head_dim) roundings; that counts in the numerator and in
    // the sum; then the value's own
    const double scores = 3 * std::sqrt(32.0);
    CHECK(cost<Attention, kv_cache::Bf16>(s).first <= s.tolerance() + testing::bf16_roundoff * (2 * scores + 1));
    // half a step of 1 / 127, which bfloat16 widens by 2^-7 at most; its effect on exponents is too large to be linear
    const double half_step = 0.5 / 127 * (1 + 0x1p-7);
    const auto [largest, mean] = cost<Attention, kv_cache::Int8>(s);
    CHECK(largest <= s.tolerance() + std::expm1(2 * scores * half_step) + half_step);
    // the errors of channels are as good as independent and uniform, of deviation step / sqrt(12): a score's is that
    // times the root mean square of q, 3 / sqrt(3), and moves results of magnitude 1; a value's own comes to it
    CHECK(mean <= 2 * half_step / std::sqrt(12.0) * (std::sqrt(3.0) + 1));
    CHECK(mean > s.tolerance());  // it is not float32
    // the same with a step of 1 / 8 of a group's largest; the value of opposite sign that is cut errs by a step at
    // most, as half a step twice
    CHECK(cost<Attention, kv_cache::Int4>(s).second <= 2 / 8.0 / std::sqrt(12.0) * (std::sqrt(3.0) + 1));
}

}  // namespace ring_test
