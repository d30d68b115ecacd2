#include <qwen3vl/memory/memory.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "prompts.hpp"

using namespace qwen3vl_test;

namespace variants_test {

/// A user's variant of Tiny: multi-query attention, an untied head, no q/k norm, no DeepStack.
struct Variant : models::Tiny {
    static constexpr TextDims text = [] {
        TextDims d = models::Tiny::text;
        d.layers = 3;
        d.kv_heads = 1;
        d.tied = false;
        d.qk_norm = false;
        return d;
    }();
    static constexpr VisionDims vision = [] {
        VisionDims d = models::Tiny::vision;
        d.deepstack_count = 0;
        return d;
    }();
};

/// A text-only model of a user's own.
struct TextOnly {
    static constexpr TextDims text{.layers = 2,
                                   .heads = 4,
                                   .kv_heads = 4,
                                   .head_dim = 16,
                                   .hidden = 40,
                                   .ffn = 56,
                                   .vocab = 464,
                                   .max_positions = 256,
                                   .qk_norm = false};
};

TEST_CASE("a derived Dims runs, pictures included") {
    using M = Model<Variant, bundles::float32>;
    const auto model = testing::synthetic_model<M>();
    Session<M> session(model, {.context = 60, .threads = 1});
    const auto prompt = picture_prompt<Variant>(session, {{1, 4, 6}});
    CHECK(prompt.visuals[0]->deepstack.empty());
    const auto whole = run(model, prompt);
    CHECK(std::isfinite(testing::largest_magnitude(whole)));
    CHECK(testing::largest_magnitude(whole) > 0);
    CHECK(testing::same_bits(run(model, prompt, 3), whole));
}

TEST_CASE("a text-only Dims runs, and refuses pictures") {
    using M = Model<TextOnly, bundles::float32>;
    const auto model = testing::synthetic_model<M>();
    const Prompt prompt{words(30), {}};
    const auto whole = run(model, prompt);
    CHECK(std::isfinite(testing::largest_magnitude(whole)));
    CHECK(testing::same_bits(run(model, prompt, 4, 2), whole));
    Session<M> session(model, {.context = 60, .threads = 1});
    CHECK_THROWS_WITH(session.append(Prompt{words(3), {std::make_shared<VisualFeatures>()}}),
                      Catch::Contains("no vision tower"));
    const auto plan = M::memory_plan({.context = 60, .threads = 1});
    for (const auto& part : plan.parts) CHECK(part.name.find("vision") == std::string::npos);
}

TEST_CASE("LayerNorm in the decoder, where the Dims have no q/k norm") {
    using Text = TextPolicies<>::with_norm<norm::LayerNorm>::with_weights<weights::Float32>::with_kv_cache<
        kv_cache::Contiguous<kv_cache::Float32>>;
    using M = Model<TextOnly, Policies<>::with_text<Text>>;
    const auto model = testing::synthetic_model<M>();
    const auto whole = run(model, {words(20), {}});
    CHECK(std::isfinite(testing::largest_magnitude(whole)));
    CHECK(testing::same_bits(run(model, {words(20), {}}, 6), whole));
    CHECK_FALSE(
        testing::same_bits(run(testing::synthetic_model<Model<TextOnly, bundles::float32>>(), {words(20), {}}), whole));
}

TEMPLATE_LIST_TEST_CASE("the memory policy changes no bit of a session", "", testing::tuple_t<memory::all>) {
    using Float32 = bundles::float32;
    using M = Model<Variant, Policies<Choice<slot::text, Float32::Text>, Choice<slot::vision, Float32::Vision>,
                                      Choice<slot::memory, typename TestType::type>>>;
    const auto outcome = []<class Any>(type_tag<Any>) {
        const auto model = testing::synthetic_model<Any>();
        Session<Any> session(model, {.context = 60, .chunk = 7, .threads = 2});
        session.append(picture_prompt<Variant>(session, {{1, 4, 6}}));
        for (const int token : words(5)) session.append(token);
        return logits_of(session);
    };
    CHECK(testing::same_bits(outcome(type_tag<M>{}), outcome(type_tag<Model<Variant, Float32>>{})));
}

}  // namespace variants_test
