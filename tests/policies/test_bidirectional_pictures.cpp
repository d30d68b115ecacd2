#include <qwen3vl/testing/standalone_session.hpp>
#include "conversations.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace bidirectional_pictures_test {

using D = models::Tiny;
template <class Mask, class Cache = kv_cache::Contiguous<kv_cache::Float32>>
using With = Model<
    D, Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>, Choice<slot::kv_cache, Cache>,
                                                Choice<slot::attention, attention::Flash<Mask>>>>>>;
using Causal = With<mask::Causal>;
using BothWays = With<mask::BidirectionalPictures<>>;
using Pages = With<mask::BidirectionalPictures<>, kv_cache::Paged<kv_cache::Float32>>;

/// Pictures of 12, 1 and 4 tokens behind 58 of text: the first lies over the end of a page.
template <class S>
Prompt talk(S& session) {
    auto prompt = picture_prompt<D>(session, {{1, 6, 8}, {1, 2, 2}, {1, 4, 4}}, 57);
    return prompt << words(30, 9);
}
TEST_CASE("prompts are cut between pictures, with the same bits for any chunk that holds the largest") {
    Session<BothWays> session(synthetic<BothWays>(), {.context = 250, .chunk = 50, .threads = 1});
    const Prompt shown = talk(session), told{words(90), {}};
    const auto expected = conversation<BothWays>(shown, 250, 250);
    for (const int chunk : {12, 13, 60}) CHECK(testing::same_bits(conversation<BothWays>(shown, chunk, 250), expected));
    CHECK_FALSE(testing::same_bits(conversation<Causal>(shown, 250, 250), expected));
    CHECK(testing::same_bits(conversation<BothWays>(told, 7, 250), conversation<Causal>(told, 7, 250)));

    // a prompt that ends with a picture, and one that begins with one
    Prompt picture;
    picture.visuals = {shown.visuals[0]};
    picture.tokens.assign(12, D::tokens.image);
    for (const int chunk : {12, 30}) {
        Session<BothWays> bare(synthetic<BothWays>(), {.context = 80, .chunk = chunk, .threads = 2});
        bare.append(picture);
        const auto alone = logits_of(bare);
        bare.append(Prompt{words(20), {}});
        bare.append(picture);
        CHECK(bare.length() == 44);
        bare.rewind(12);
        bare.append(Prompt{words(3), {}});
        bare.rewind(0);
        bare.append(picture);
        CHECK(testing::same_bits(logits_of(bare), alone));
    }
}

TEST_CASE("a picture that fits no chunk is refused, and so is a chunk that ends inside one") {
    Session<BothWays> session(synthetic<BothWays>(), {.context = 250, .chunk = 11, .threads = 1});
    const Prompt shown = talk(session);
    session.append(Prompt{words(20), {}});
    const auto before = logits_of(session);
    CHECK_THROWS_WITH(session.append(shown), Catch::Contains("a picture of 12 tokens at token 78 does not fit a chunk "
                                                             "of 11"));
    CHECK(session.length() == 20);
    CHECK(testing::same_bits(logits_of(session), before));

    Workspace<BothWays> workspace(synthetic<BothWays>(), {.context = 250, .rows = 100, .threads = 1});
    Sequence<BothWays> sequence(synthetic<BothWays>(), {.context = 250});
    sequence.append(shown);
    CHECK(sequence.next_chunk(60) == 58);
    const Chunk<BothWays> inside[] = {{&sequence, 60, 0}}, whole[] = {{&sequence, 58, 0}};
    CHECK_THROWS_WITH(workspace.forward(inside), Catch::Contains("ends inside a picture"));
    workspace.forward(whole);
    CHECK(sequence.next_chunk(12) == 12);
    CHECK(sequence.next_chunk(100) == sequence.pending());
}

TEST_CASE("pictures seen both ways are rewound, saved and restored, and other masks refuse the file") {
    Session<BothWays> session(synthetic<BothWays>(), {.context = 250, .chunk = 50, .threads = 1}),
        other(synthetic<BothWays>(), {.context = 200, .chunk = 20, .threads = 2});
    const Prompt shown = talk(session);
    session.append(shown);
    const TemporaryFolder folder;
    session.save(folder.file("state"));
    const auto expected = go_on(session);
    CHECK_THROWS_AS(session.rewind(60), PromptError);  // inside the first picture
    session.rewind(58);
    session.append(Prompt{words(60, 4), {}});  // text where pictures were
    session.rewind(58);
    session.append({{shown.tokens.begin() + 58, shown.tokens.end()}, shown.visuals});
    CHECK(testing::same_bits(go_on(session), expected));
    other.append(Prompt{words(130), {}});
    other.restore(folder.file("state"));
    CHECK(testing::same_bits(go_on(other), expected));

    using Typed = With<mask::ByModality<>>;
    Session<Typed> typed(synthetic<Typed>(), {.context = 200, .threads = 1});
    CHECK_THROWS_WITH(typed.restore(folder.file("state")), Catch::Contains("a picture's tokens both ways"));
}

TEST_CASE("a page that ends inside a picture is shared, and the rest of the picture computed beside it") {
    PagePool<Pages> pool(synthetic<Pages>(), {.tokens = 1024});
    const SessionOptions options{.context = 250, .chunk = 50, .threads = 2};
    Session<Pages> first(pool, options), second(pool, options);
    const Prompt shown = talk(first);
    const auto expected = conversation<BothWays>(shown, 250, 250);
    first.append(shown);
    second.append(shown);
    CHECK(second.reused_tokens() == 64);  // six tokens of the first picture
    auto fork = second.fork();
    const auto last = go_on(second);
    CHECK(testing::same_bits(last, std::vector<float>(expected.end() - D::text.vocab, expected.end())));
    CHECK(testing::same_bits(go_on(fork), last));

    // another picture in the same place shares the page before it alone
    Prompt changed = shown;
    changed.visuals[0] = encode(first.workspace(), testing::synthetic_patches(D::vision, {1, 6, 8}, 99));
    Session<Pages> third(pool, options);
    third.append(changed);
    CHECK(third.reused_tokens() == 0);
    CHECK_FALSE(testing::same_bits(go_on(third), last));
}

}  // namespace bidirectional_pictures_test
