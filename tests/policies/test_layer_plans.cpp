#include "prompts.hpp"

using namespace qwen3vl_test;

namespace layer_plans_test {

using D = models::Tiny;
using Causal = attention::Flash<mask::Causal>;
using Near = attention::Flash<mask::SlidingWindow<Window{.tokens = 40, .sinks = 3}>>;
using Far = attention::Flash<mask::SlidingWindow<Window{.tokens = 100, .sinks = 3}>>;
using Whole = kv_cache::Contiguous<kv_cache::Float32>;
using Ring = kv_cache::Ring<Tokens{128}, kv_cache::Float32>;

template <class Attention, class Cache>
using Planned =
    Model<D,
          Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>,
                                                   Choice<slot::attention, Attention>, Choice<slot::kv_cache, Cache>>>,
                   Choice<slot::vision, VisionPolicies<Choice<slot::weights, weights::Float32>>>>>;

template <class Attention, class Cache>
std::vector<float> logits(int chunk = 512) {
    const auto model = testing::synthetic_model<Planned<Attention, Cache>>();
    Session<Planned<Attention, Cache>> session(model, {.context = 400, .chunk = chunk, .threads = 1});
    auto prompt = picture_prompt<D>(session, {{1, 4, 6}});
    prompt << words(300);
    session.append(prompt);
    for (const int token : words(5, 8)) session.append(token);
    return logits_of(session);
}

template <class... P>
using Plan = Layers<Pattern<P...>>;

TEST_CASE("a plan of one policy is that policy") {
    CHECK(testing::same_bits(logits<Plan<Causal>, Plan<Whole>>(), logits<Causal, Whole>()));
}

TEST_CASE("a window as long as the prompt is the causal mask") {
    CHECK(testing::same_bits(logits<attention::Flash<mask::SlidingWindow<Window{.tokens = 400}>>, Whole>(),
                             logits<Causal, Whole>()));
}

TEST_CASE("windows over rings equal windows over the whole sequence, layer by layer") {
    const auto mixed = logits<Plan<Near, Far>, Whole>();
    CHECK(testing::same_bits(logits<Plan<Near, Far>, Ring>(), mixed));
    CHECK(testing::same_bits(logits<Plan<Near, Far>, Plan<Ring, Whole, Whole>>(9),
                             mixed));  // periods 2 and 3: six kinds of layers
    CHECK_FALSE(testing::same_bits(logits<Near, Whole>(), mixed));
    CHECK_FALSE(testing::same_bits(logits<Far, Whole>(), mixed));
}

TEST_CASE("causal layers keep everything beside windowed layers over rings") {
    const auto mixed = logits<Plan<Causal, Near, Near>, Whole>();
    CHECK(testing::same_bits(logits<Plan<Causal, Near, Near>, Plan<Whole, Ring, Ring>>(), mixed));
    CHECK(testing::same_bits(logits<Plan<Causal, Near, Near>, Plan<Whole, Ring, Ring>>(1), mixed));
    CHECK_FALSE(testing::same_bits(logits<Causal, Whole>(), mixed));
}

TEST_CASE("algorithms may alternate") {
    const auto uniform = logits<Causal, Whole>(), mixed = logits<Plan<Causal, attention::Dense<mask::Causal>>, Whole>();
    // both are exact up to float32 rounding: the golden tolerance, ten times what the reference's own rounding amounts
    // to
    CHECK(testing::largest_difference(mixed, uniform) <= 2e-5 * testing::largest_magnitude(uniform));
}

TEST_CASE("a session can rewind where all of its caches can") {
    static_assert(Session<Planned<Causal, Whole>>::can_rewind);
    static_assert(!Session<Planned<Near, Ring>>::can_rewind);
    static_assert(!Session<Planned<Near, Plan<Whole, Ring>>>::can_rewind);
    SUCCEED();
}

TEST_CASE("cancelling over a ring empties the session") {
    const auto model = testing::synthetic_model<Planned<Near, Ring>>();
    Session<Planned<Near, Ring>> session(model, {.context = 400, .chunk = 16, .threads = 1});
    session.append({words(100), {}});
    CHECK_THROWS_AS(session.append({words(100), {}}, {.progress = [](const Progress& p) { return p.done < 48; }}),
                    Cancelled);
    CHECK(session.length() == 0);
    session.append({words(100), {}});
    CHECK(testing::same_bits(logits_of(session), run(model, {words(100), {}})));
}

TEST_CASE("a context beyond the ring goes on in the ring's memory") {
    using M = Planned<Near, Ring>;
    const auto bytes = [](int context) {
        for (const auto& part : M::memory_plan({.context = context, .threads = 1}).parts)
            if (part.name == "kv_cache") return part.bytes;
        return std::int64_t{0};
    };
    CHECK(bytes(4096) == bytes(200));
    CHECK(bytes(200) > 0);
}

}  // namespace layer_plans_test
