#include <cstring>
#include <fstream>
#include <limits>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace saved_session_test {
using D = models::Tiny;

std::string bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A conversation of so many tokens with two pictures in it.
template <class S>
Prompt talk(S& session, std::size_t tokens) {
    auto prompt = picture_prompt<D>(session, {{1, 6, 8}, {1, 4, 4}});
    if (tokens > prompt.tokens.size()) prompt << words(tokens - prompt.tokens.size(), 9);
    return prompt;
}

template <class M>
std::vector<float> go_on(Session<M>& session) {
    for (const int token : words(5, 77)) session.append(token);
    auto logits = logits_of(session);
    session.append({words(20, 78), {}});
    const auto more = logits_of(session);
    logits.insert(logits.end(), more.begin(), more.end());
    return logits;
}

/// A ring that the longer conversations have gone round.
struct small_ring
    : Policies<Choice<slot::text,
                      TextPolicies<>::with_attention<attention::Flash<mask::SlidingWindow<Window{
                          .tokens = 50, .sinks = 4}>>>::with_kv_cache<kv_cache::Ring<Tokens{128}, kv_cache::Int8>>>> {
    static constexpr const char* name = "small_ring";
};
/// One as long as its window: behind the newest key lie older ones that are still seen.
struct tight_ring
    : Policies<Choice<slot::text, TextPolicies<>::with_attention<
                                      attention::Flash<mask::SlidingWindow<Window{.tokens = 124, .sinks = 4}>>>::
                                      with_kv_cache<kv_cache::Ring<Tokens{128}, kv_cache::Float32>>>> {
    static constexpr const char* name = "tight_ring";
};
using SavedBundles = concat_t<TestedBundles, list<small_ring, tight_ring>>;

TEMPLATE_LIST_TEST_CASE("a restored session goes on with the same bits", "", testing::tuple_t<SavedBundles>) {
    using Bundle = typename TestType::type;
    using M = Model<D, Bundle>;
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder;
    for (const std::size_t tokens : {30u, 63u, 64u, 65u, 200u}) {
        CAPTURE(Bundle::name, tokens);
        Session<M> first(model, {.context = 300, .threads = 1});
        const auto prompt = talk(first, tokens);
        first.append(prompt);
        const auto logits = logits_of(first);
        first.save(folder.file("state"));
        const std::int64_t length = first.length(), delta = first.rope_delta();
        Session<M> unsaved(model, {.context = 300, .threads = 1});
        unsaved.append(prompt);
        const auto expected = go_on(unsaved);
        CHECK(testing::same_bits(go_on(first), expected));

        Session<M> second(model, {.context = 500, .chunk = 7, .threads = 2});  // another context, and something in it
        second.append({words(90, 5), {}});
        second.restore(folder.file("state"));
        CHECK(second.length() == length);
        CHECK(second.rope_delta() == delta);
        CHECK(testing::same_bits(logits_of(second), logits));
        second.save(folder.file("again"));
        CHECK(bytes_of(folder.file("again")) == bytes_of(folder.file("state")));  // nothing of what was there before
        CHECK(testing::same_bits(go_on(second), expected));
    }
}

TEST_CASE("a saved session can be rewound, and may be empty or without logits") {
    using M = Model<D, bundles::float32>;
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder;
    Session<M> first(model, {.context = 200, .threads = 1}), second(model, {.context = 100, .threads = 1});
    first.save(folder.file("empty"));
    second.append({words(9), {}});
    second.restore(folder.file("empty"));
    CHECK(second.length() == 0);
    CHECK_THROWS_AS(second.logits(), PromptError);

    const auto prompt = talk(first, 60);
    first.append(prompt);
    const auto expected = logits_of(first);
    first.append({words(30, 3), {}});
    first.rewind(59);
    first.save(folder.file("cut"));  // has no logits
    second.restore(folder.file("cut"));
    CHECK_THROWS_AS(second.logits(), PromptError);
    CHECK_THROWS_AS(second.rewind(8), PromptError);  // inside the first picture still
    second.append(prompt.tokens[59]);
    CHECK(testing::same_bits(logits_of(second), expected));
}

TEST_CASE("an owner adds to the file, and may refuse what it finds there") {
    using M = Model<D, bundles::int8>;
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder;
    Session<M> first(model, {.context = 100, .threads = 1}), second(model, {.context = 100, .threads = 1});
    first.append(talk(first, 40));
    const auto logits = logits_of(first);
    const std::string one = "what a session", two = "'s owner knows";
    const std::span<const std::byte> pieces[] = {std::as_bytes(std::span(one)), {}, std::as_bytes(std::span(two))};
    first.save(folder.file("state"), pieces);

    const auto refuse = [&](std::span<const std::byte> extra) {
        CHECK(std::string(reinterpret_cast<const char*>(extra.data()), extra.size()) == one + two);
        throw LoadError("no");
    };
    second.append({words(9), {}});
    const auto before = logits_of(second);
    CHECK_THROWS_WITH(second.restore(folder.file("state"), refuse), "no");
    CHECK(testing::same_bits(logits_of(second), before));
    second.restore(folder.file("state"));  // without the owner's part
    CHECK(testing::same_bits(logits_of(second), logits));
}

TEST_CASE("states that do not fit are refused by name, and the session stays as it was") {
    using M = Model<D, bundles::bf16>;
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder;
    Session<M> session(model, {.context = 100, .threads = 1});
    session.append(talk(session, 80));
    session.save(folder.file("state"));
    const auto logits = logits_of(session);

    const auto refused = [&](auto& other, const char* file, const char* why) {
        const auto before = other.length();
        CHECK_THROWS_WITH(other.restore(folder.file(file)), contains(folder.file(file)) && contains(why));
        CHECK(other.length() == before);
    };
    Session<M> small(model, {.context = 79, .threads = 1});
    CHECK_THROWS_AS(small.restore(folder.file("state")), ContextOverflow);
    refused(small, "state", "80 tokens, the context holds 79");
    refused(session, "nothing", "cannot open");

    using Other = Model<D, bundles::float32>;
    const Other other_cache = testing::synthetic_model<Other>();
    Session<Other> exact(other_cache, {.context = 100, .threads = 1});
    refused(exact, "state", "another kv_cache");
    const M other_weights = testing::synthetic_model<M>(2);
    Session<M> stranger(other_weights, {.context = 100, .threads = 1});
    refused(stranger, "state", "another model");

    CHECK(testing::same_bits(logits_of(session), logits));
    CHECK_THROWS_AS(session.save(folder.file("no/such/folder/state")), FileError);
    CHECK(bytes_of(folder.file("state")).size() > 1000);
}

TEST_CASE("no damaged state is taken, wherever the damage is") {
    using M = Model<D, bundles::int8>;
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder;
    Session<M> session(model, {.context = 100, .threads = 1});
    session.append(talk(session, 30));
    session.save(folder.file("state"));
    const auto logits = logits_of(session);
    const std::string good = bytes_of(folder.file("state"));
    const auto refused = [&](const std::string& bytes) {
        folder.write("bad", bytes);
        CHECK_THROWS_AS(session.restore(folder.file("bad")), LoadError);
    };
    for (std::size_t at = 0; at < good.size(); at += at < 650 ? 1 : 997) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x10);
        refused(bad);
    }
    for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{64}, std::size_t{71}, std::size_t{72},
                                   good.size() / 2, good.size() - 1})
        refused(good.substr(0, size));
    refused(good + '\0');

    // somebody who computes the checksum anew: sizes, tokens and pictures are held to what the session can be
    const auto forged = [&](std::size_t at, std::int64_t value) {
        std::string bad = good;
        std::memcpy(bad.data() + at, &value, sizeof value);
        const auto sum = checksum(std::string_view(bad.data(), bad.size() - 8));
        std::memcpy(bad.data() + bad.size() - 8, &sum, sizeof sum);
        return bad;
    };
    constexpr std::size_t length_at = 24, pictures_at = 32, places_at = 40, visual_tokens_at = 48, logits_at = 56,
                          extra_at = 64, ids_at = sizeof(detail::SavedHeader);
    const std::int64_t n = session.length();
    for (const std::int64_t length :
         {std::int64_t{0}, std::int64_t{1}, n - 1, n + 1, std::int64_t{64}, std::int64_t{100}})
        refused(forged(length_at, length));
    for (const std::int64_t logits_count : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, std::int64_t{1} << 61})
        refused(forged(logits_at, logits_count));
    for (const std::int64_t extra :
         {std::int64_t{1}, std::int64_t{-1}, std::int64_t{1} << 62, std::numeric_limits<std::int64_t>::min()})
        refused(forged(extra_at, extra));
    folder.write("bad", forged(length_at, std::int64_t{1} << 60));
    CHECK_THROWS_AS(session.restore(folder.file("bad")), ContextOverflow);
    for (const std::int64_t pictures :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{3}, n + 1, std::int64_t{1} << 60, std::int64_t{-1}})
        refused(forged(pictures_at, pictures));
    for (const std::int64_t places : {std::int64_t{1}, n, n + 1, std::int64_t{1} << 60, std::int64_t{-1}})
        refused(forged(places_at, places));
    for (const std::int64_t visual_tokens : {std::int64_t{0}, n, n + 1, std::int64_t{1} << 60, std::int64_t{-1}})
        refused(forged(visual_tokens_at, visual_tokens));
    for (const std::int64_t ids :
         {std::int64_t{-1}, std::int64_t{D::text.vocab}, std::int64_t{5} << 32 | D::text.vocab})
        refused(forged(ids_at, ids));
    const std::size_t first_at = ids_at + static_cast<std::size_t>(n) * sizeof(int),
                      size = sizeof(detail::SavedPicture);
    const auto pictures = session.sequence().tokens().pictures();
    REQUIRE(pictures.size() == 2);
    for (const std::size_t field : {0u, 8u, 16u, 24u, 32u})  // first, rows, columns, tokens, feature_row
        for (const std::int64_t value :
             {std::int64_t{-1}, std::int64_t{1} << 40, std::numeric_limits<std::int64_t>::min()})
            for (const std::size_t at : {first_at, first_at + size}) refused(forged(at + field, value));
    for (const std::int64_t value : {std::int64_t{0}, pictures[0].first - 1, pictures[0].first + 1})
        refused(forged(first_at, value));                 // not at its pads
    refused(forged(first_at + size, pictures[0].first));  // twice in one place
    for (const std::int64_t rows : {std::int64_t{0}, pictures[0].rows + std::int64_t{1}, n})
        refused(forged(first_at + 8, rows));
    const std::size_t pad = ids_at + static_cast<std::size_t>(pictures[0].first) * sizeof(int);
    refused(forged(pad, std::int64_t{7} << 32 | 7));  // words in the place of a picture

    CHECK(testing::same_bits(logits_of(session), logits));
    folder.write("bad", good);
    session.restore(folder.file("bad"));
    CHECK(testing::same_bits(logits_of(session), logits));
}

}  // namespace saved_session_test
