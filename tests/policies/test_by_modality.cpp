#include <cstring>
#include <fstream>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/testing/standalone_session.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace by_modality_test {

using D = models::Tiny;
template <class Attention, class Cache = kv_cache::Contiguous<kv_cache::Float32>>
using With = Model<
    D, Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>, Choice<slot::kv_cache, Cache>,
                                                Choice<slot::attention, Attention>>>>>;
using Causal = With<attention::Flash<>>;
template <Sees S>
using Seeing = With<attention::Flash<mask::ByModality<S>>>;
using Tempered = With<attention::Flash<mask::Tempered<Temperatures{.language_to_vision = 0.5f}>>>;
using Apart = With<attention::WithinModality>;
using Pages = With<attention::GlobalEvery<>, kv_cache::Paged<kv_cache::Float32>>;
using Planned = With<attention::GlobalEvery<>>;

/// Pictures of 12 tokens, of one and of 4, of which one lies over the end of a tile.
template <class S>
Prompt talk(S& session) {
    auto prompt = picture_prompt<D>(session, {{1, 6, 8}, {1, 2, 2}, {1, 4, 4}}, 42);
    return prompt << words(30, 9);
}
/// Logits after the prompt and after more tokens.
template <class M>
std::vector<float> conversation(const M& model, const Prompt& prompt, int chunk = 512) {
    Session<M> session(model, {.context = 250, .chunk = chunk, .threads = 2});
    return logits_along(session, prompt, words(5, 77));
}
template <class M>
std::vector<float> go_on(Session<M>& session) {
    for (const int token : words(40, 77)) session.append(token);
    return logits_of(session);
}

template <class M>
const M& model() {
    static const M m = testing::synthetic_model<M>();
    return m;
}

std::string bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("a session tells its mask which tokens are pictures") {
    Session<Causal> encoder(model<Causal>(), {.context = 200});
    const Prompt shown = talk(encoder), told{words(90), {}};
    const auto with_pictures = conversation(model<Causal>(), shown), text = conversation(model<Causal>(), told);
    CHECK(testing::same_bits(conversation(model<Seeing<Sees{}>>(), shown), with_pictures));
    CHECK(testing::same_bits(conversation(model<Seeing<Sees{}>>(), shown, 7), with_pictures));
    const auto check = [&](const auto& m) {
        CHECK_FALSE(testing::same_bits(conversation(m, shown), with_pictures));
        CHECK(testing::same_bits(conversation(m, told), text));
    };
    check(model<Seeing<Sees{.language_to_vision = false}>>());
    check(model<Seeing<Sees{.vision_to_language = false}>>());
    check(model<Seeing<Sees{.vision_to_vision = false}>>());
    check(model<Planned>());
}

TEST_CASE("a temperature between text and pictures changes what pictures do to text, and no text alone") {
    Session<Tempered> session(model<Tempered>(), {.context = 250, .chunk = 50, .threads = 2});
    const Prompt shown = talk(session), told{words(90), {}};
    const auto expected = conversation(model<Tempered>(), shown);
    CHECK_FALSE(testing::same_bits(expected, conversation(model<Causal>(), shown)));
    for (const int chunk : {7, 50}) CHECK(testing::same_bits(conversation(model<Tempered>(), shown, chunk), expected));
    CHECK(testing::same_bits(conversation(model<Tempered>(), told), conversation(model<Causal>(), told)));

    const TemporaryFolder folder;
    session.append(shown);
    session.save(folder.file("state"));
    const auto next = go_on(session);
    session.rewind(42);
    session.restore(folder.file("state"));
    CHECK(testing::same_bits(go_on(session), next));
}

TEST_CASE("where text sees no picture, and pictures no text, neither changes what the other becomes") {
    Session<Apart> first(model<Apart>(), {.context = 200}), second(model<Apart>(), {.context = 200});
    // the last token is text: of the pictures it knows their size alone
    auto prompt = talk(first), other = prompt;
    other.visuals[0] = encode(first.workspace(), testing::synthetic_patches(D::vision, {1, 6, 8}, 99));
    first.append(prompt);
    second.append(other);
    CHECK(testing::same_bits(go_on(first), go_on(second)));
    CHECK_FALSE(testing::same_bits(conversation(model<Planned>(), prompt), conversation(model<Planned>(), other)));
}

TEST_CASE("pads that a model says itself are text") {
    Session<Causal> plain(model<Causal>(), {.context = 200});
    Session<Apart> apart(model<Apart>(), {.context = 200});
    const auto say = [](auto& session) {
        session.append({words(20), {}});
        for (int i = 0; i < 9; ++i) session.append(D::tokens.image);
        return go_on(session);
    };
    CHECK(testing::same_bits(say(apart), say(plain)));
}

TEST_CASE("types follow a session back, and other tokens in the same places") {
    Session<Apart> session(model<Apart>(), {.context = 200, .chunk = 50, .threads = 2});
    const auto prompt = talk(session);
    const auto expected = conversation(model<Apart>(), prompt);
    const auto again = [&] { return logits_along(session, prompt, words(5, 77)); };
    CHECK(testing::same_bits(again(), expected));
    session.reset();
    const Prompt told{words(150, 3), {}};
    session.append(told);
    CHECK(testing::same_bits(logits_of(session), run(model<Apart>(), told)));  // where pictures were
    session.rewind(0);
    CHECK(testing::same_bits(again(), expected));  // where text was
    session.rewind(42);
    session.append({words(3), {}});
    Prompt mixed{std::vector<int>(prompt.tokens.begin(), prompt.tokens.begin() + 42), {}};
    CHECK(testing::same_bits(logits_of(session), run(model<Apart>(), mixed << words(3))));
    session.reset();
    int chunks = 0;
    CHECK_THROWS_AS(
        session.append(prompt,
                       {.progress = [&](const Progress&) { return ++chunks < 2; }, .hook = {}, .hidden = nullptr}),
        Cancelled);
    CHECK(testing::same_bits(again(), expected));
}

TEST_CASE("pages that a prompt finds and a fork's have the types of their tokens") {
    PagePool pool(model<Pages>(), {.tokens = 1024});
    const SessionOptions options{.context = 300, .chunk = 50, .threads = 2};
    Session<Pages> first(pool, options), second(pool, options);
    Prompt prompt = talk(first);
    prompt << words(100, 4);
    const auto expected = conversation(model<Planned>(), prompt);
    const auto alone = [&](std::uint64_t seed) {
        Session<Planned> session(model<Planned>(), {.context = 300, .threads = 1});
        session.append(prompt);
        session.append({words(20, seed), {}});
        return go_on(session);
    };
    first.append(prompt);
    second.append(prompt);
    CHECK(second.reused_tokens() == 192);
    CHECK(
        testing::same_bits(logits_of(second), std::vector<float>(expected.begin(), expected.begin() + D::text.vocab)));
    auto third = second.fork();
    second.append({words(20, 5), {}});
    third.append({words(20, 6), {}});
    CHECK(testing::same_bits(go_on(second), alone(5)));
    CHECK(testing::same_bits(go_on(third), alone(6)));
}

TEST_CASE("types come back with a saved session, and a mask without them refuses it") {
    const TemporaryFolder folder;
    Session<Apart> first(model<Apart>(), {.context = 200, .threads = 1}),
        second(model<Apart>(), {.context = 150, .threads = 2});
    const auto prompt = talk(first);
    first.append({words(180, 3), {}});
    first.reset();
    first.append(prompt);
    first.save(folder.file("state"));
    const auto expected = go_on(first);
    second.append({words(130, 4), {}});
    second.restore(folder.file("state"));
    second.save(folder.file("again"));
    CHECK(bytes_of(folder.file("again")) == bytes_of(folder.file("state")));
    CHECK(testing::same_bits(go_on(second), expected));

    Session<Causal> untyped(model<Causal>(), {.context = 200, .threads = 1});
    CHECK_THROWS_WITH(untyped.restore(folder.file("state")), contains("a mask by modality"));
    untyped.append(prompt);
    untyped.save(folder.file("untyped"));
    CHECK_THROWS_WITH(second.restore(folder.file("untyped")), contains("a mask by modality"));
}

TEST_CASE("the record of a session's tokens is planned, whatever the mask") {
    const auto bytes = [](const MemoryPlan& plan) {
        std::int64_t n = 0;
        for (const auto& part : plan.parts) n += part.name == "tokens" ? part.bytes : 0;
        return n;
    };
    const std::int64_t expected = memory::Arena::footprint(TokenLog::bytes(4096));
    CHECK(expected >= 4096 / 8 + 4096 * 20);
    CHECK(bytes(Apart::memory_plan({.context = 4096})) == expected);
    CHECK(bytes(Planned::memory_plan({.context = 4096})) == expected);
    CHECK(bytes(Causal::memory_plan({.context = 4096})) == expected);
}

}  // namespace by_modality_test
