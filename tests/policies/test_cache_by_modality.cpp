#include "conversations.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace cache_by_modality_test {

using D = models::Tiny;
template <class Cache>
using With = Model<
    D,
    Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>, Choice<slot::kv_cache, Cache>>>>>;
using Two = With<kv_cache::ByModality<kv_cache::Bf16, kv_cache::Int4, Compression{.ratio = 1.5}>>;
using Text = With<kv_cache::Contiguous<kv_cache::Bf16>>;

/// Pictures of 40 and 4 tokens, of which the first lies over the end of a tile.
template <class S>
Prompt talk(S& session) {
    auto prompt = picture_prompt<D>(session, {{1, 10, 16}, {1, 4, 4}}, 40);
    return prompt << words(30, 9);
}
TEST_CASE("a cache by modality gives the same bits for any chunk, and those of text's codec without pictures") {
    Session<Two> session(synthetic<Two>(), {.context = 200, .threads = 1});
    const Prompt shown = talk(session), told{words(90), {}};
    const auto expected = conversation<Two>(shown, 200, 200);
    for (const int chunk : {1, 37}) CHECK(testing::same_bits(conversation<Two>(shown, chunk, 200), expected));
    const auto exact = conversation<Text>(shown, 200, 200);
    CHECK_FALSE(testing::same_bits(expected, exact));
    CHECK(testing::largest_difference(expected, exact) < 0.5 * testing::largest_magnitude(exact));
    CHECK(testing::same_bits(conversation<Two>(told, 200, 200), conversation<Text>(told, 50, 200)));
}

TEST_CASE("both parts of a cache by modality are rewound, saved and restored") {
    Session<Two> session(synthetic<Two>(), {.context = 200, .chunk = 50, .threads = 1}),
        other(synthetic<Two>(), {.context = 160, .threads = 2});
    const Prompt shown = talk(session);
    session.append(shown);
    const auto length = session.length();
    const TemporaryFolder folder;
    session.save(folder.file("state"));
    const auto expected = go_on(session);

    session.rewind(40);
    session.append(Prompt{words(60, 4), {}});  // text where a picture was
    session.rewind(40);
    session.append({{shown.tokens.begin() + 40, shown.tokens.end()}, shown.visuals});
    CHECK(testing::same_bits(go_on(session), expected));
    other.append(Prompt{words(90), {}});
    other.restore(folder.file("state"));
    CHECK(other.length() == length);
    CHECK(testing::same_bits(go_on(other), expected));

    Session<Text> text(synthetic<Text>(), {.context = 200, .threads = 1});
    CHECK_THROWS_AS(text.restore(folder.file("state")), LoadError);
    // a context of as many tokens, whose memory is too short for so much text
    Session<Two> narrow(synthetic<Two>(), {.context = static_cast<int>(length), .threads = 1});
    session.reset();
    session.append(Prompt{words(static_cast<std::size_t>(length), 3), {}});
    session.save(folder.file("text"));
    CHECK_THROWS_WITH(narrow.restore(folder.file("text")), Catch::Contains("state a lower ratio"));
    CHECK(narrow.length() == 0);
}

TEST_CASE("a fork copies both parts of a cache by modality") {
    Session<Two> session(synthetic<Two>(), {.context = 320, .chunk = 50, .threads = 1});
    const Prompt shown = talk(session);
    session.append(shown);
    auto fork = session.fork();
    session.append(Prompt{words(20, 5), {}});
    fork.append(Prompt{words(20, 6), {}});
    fork.append(shown);
    const auto alone = [&](std::uint64_t seed, bool again) {
        Session<Two> other(synthetic<Two>(), {.context = 320, .threads = 2});
        other.append(shown);
        other.append(Prompt{words(20, seed), {}});
        if (again) other.append(shown);
        return go_on(other);
    };
    CHECK(testing::same_bits(go_on(session), alone(5, false)));
    CHECK(testing::same_bits(go_on(fork), alone(6, true)));

    Sequence<Two> shorter(synthetic<Two>(), {.context = 60});
    CHECK_THROWS_AS(shorter.share(session.sequence(), session.workspace().team()), ContextOverflow);
}

TEST_CASE("what a ratio leaves no room for is refused, and the session stays as it was") {
    const auto kv_bytes = [](const MemoryPlan& plan) {
        std::int64_t n = 0;
        for (const auto& part : plan.parts) n += part.name == "kv_cache" ? part.bytes : 0;
        return n;
    };
    CHECK(30 * kv_bytes(Two::memory_plan({.context = 6400})) < 21 * kv_bytes(Text::memory_plan({.context = 6400})));

    Session<Two> session(synthetic<Two>(), {.context = 320, .threads = 1});
    session.append(Prompt{words(190), {}});  // three tiles; room is for two thirds of five, and a visual tile
    const auto logits = logits_of(session);
    CHECK_THROWS_WITH(session.append(Prompt{words(3), {}}), Catch::Contains("no room for 193 tokens of text"));
    session.append(5);
    session.append(5);
    CHECK_THROWS_AS(session.append(5), ContextOverflow);
    CHECK(session.length() == 192);
    session.rewind(190);
    session.append(5);
    session.rewind(100);
    session.append(talk(session));  // pictures take less
    CHECK(session.length() > 200);
    session.reset();
    session.append(Prompt{words(190), {}});
    CHECK(testing::same_bits(logits_of(session), logits));
}

}  // namespace cache_by_modality_test
