#include <qwen3vl/testing/type_list.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace {

/// Tiny, as if it had been trained for 32 tokens.
struct Short : models::Tiny {
    static constexpr TextDims text = [] {
        TextDims d = models::Tiny::text;
        d.max_positions = 32;
        return d;
    }();
};
using Base = position::MRopeInterleaved;
template <class Position>
using With = Model<Short, Policies<>::with_vision<bundles::float32::Vision>::with_text<
                              bundles::float32::Text::with_position<Position>>>;

template <class Position>
std::vector<float> logits_with(const Prompt& prompt, int chunk = 512) {
    return run(testing::synthetic_model<With<Position>>(), prompt, chunk);
}

/// A prompt with a picture, 28 tokens long.
const Prompt& picture() {
    static const Prompt prompt = [] {
        const auto model = testing::synthetic_model<With<Base>>();
        Session<With<Base>> session(model, {.context = 32, .threads = 1});
        Prompt p = picture_prompt<Short>(session, {{1, 4, 6}});
        return p << words(28 - p.tokens.size(), 5);
    }();
    return prompt;
}

}  // namespace

TEMPLATE_TEST_CASE("a scaled model reads past its training, pictures included", "", (position::NTK<Base, Factor{4}>),
                   (position::YaRN<Base, YarnOptions{.factor = 4}>),
                   (position::Approximate<position::YaRN<Base, YarnOptions{.factor = 4}>>)) {
    Prompt prompt = picture();
    prompt << words(100, 6);  // 128 tokens, as many as there are positions
    const auto whole = logits_with<TestType>(prompt);
    CHECK(std::isfinite(testing::largest_magnitude(whole)));
    CHECK(testing::same_bits(logits_with<TestType>(prompt, 7), whole));
    const auto model = testing::synthetic_model<With<TestType>>();
    CHECK_THROWS_WITH((Session<With<TestType>>(model, {.context = 129, .threads = 1})), Catch::Contains("1 to 128"));
    CHECK_THROWS_WITH(logits_with<Base>(prompt), Catch::Contains("1 to 32"));
    CHECK_FALSE(testing::same_bits(logits_with<TestType>(picture()), logits_with<Base>(picture())));
}

TEST_CASE("a factor of 1 is the stock model, bit by bit") {
    const auto stock = logits_with<Base>(picture());
    CHECK(testing::same_bits(logits_with<position::NTK<Base, Factor{}>>(picture()), stock));
    CHECK(testing::same_bits(logits_with<position::YaRN<Base, YarnOptions{}>>(picture()), stock));
}

TEST_CASE("approximate rotations hardly change the logits") {
    const auto stock = logits_with<Base>(picture()), approximate = logits_with<position::Approximate<Base>>(picture());
    // 1e-6 of a query and of a key, through four layers
    CHECK(testing::largest_difference(approximate, testing::as_doubles(stock)) <=
          1e-5 * testing::largest_magnitude(stock));
    CHECK_FALSE(testing::same_bits(approximate, stock));
}

TEST_CASE("a session that was saved at other angles is refused") {
    using Stock = With<position::NTK<Base, Factor{}>>;
    using Scaled = With<position::NTK<Base, Factor{4}>>;
    const TemporaryFolder folder;
    const auto file = folder.file("session");
    const auto stock = testing::synthetic_model<Stock>();
    const auto scaled = testing::synthetic_model<Scaled>();
    Session<Stock> session(stock, {.context = 32, .threads = 1});
    Session<Scaled> stranger(scaled, {.context = 32, .threads = 1});
    session.append({words(20), {}});
    session.save(file);
    session.restore(file);
    CHECK(session.length() == 20);
    CHECK_THROWS_AS(stranger.restore(file), LoadError);
    CHECK(stranger.length() == 0);
}
