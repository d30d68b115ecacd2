#include <qwen3vl/chat/media.hpp>
#include "largest_tokens.hpp"
#include "prompts.hpp"
#include "temporary_folder.hpp"

// Policies that leave some of a picture's tokens: counts, positions, DeepStack levels, chunks, saved sequences.

using namespace qwen3vl_test;

namespace token_reduction_test {

/// Says that it leaves one token, and leaves all.
struct Wrong : token_reduction::None {
    static constexpr const char* name = "Wrong";
    static constexpr std::int64_t tokens(int, int) { return 1; }
};

template <class Reduction>
using With = Model<models::Tiny, Policies<Choice<slot::text, TextPolicies<Choice<slot::token_reduction, Reduction>>>>>;
using Half = With<LargestTokens<1, 2>>;
using Whole = With<LargestTokens<1, 1>>;
using Stock = With<token_reduction::None>;

Patches patches(const Grid& grid) { return testing::synthetic_patches(models::Tiny::vision, grid, 5); }

/// Text, a picture, a clip of two frame pairs, text.
template <class M>
Prompt prompt_of(Session<M>& session) {
    Prompt prompt{{1, 2}};
    add_visual<models::Tiny>(prompt, encode(session.workspace(), patches({1, 6, 8})));
    prompt.tokens.push_back(3);
    add_visual<models::Tiny>(prompt, encode(session.workspace(), patches({2, 4, 4})));
    prompt.tokens.insert(prompt.tokens.end(), {4, 5, 6});
    return prompt;
}

TEST_CASE("fewer tokens of pictures and clips reach the decoder, at their own positions") {
    const auto model = testing::synthetic_model<Half>();
    Session<Half> session(model, {.context = 200, .threads = 2});
    const auto features = encode(session.workspace(), patches({1, 6, 8}));
    REQUIRE(features->tokens() == 6);  // of 3 x 4
    CHECK(features->span_tokens() == 6);
    for (const auto& level : features->deepstack) CHECK(std::ssize(level) == 6 * features->width);
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    const TokenLog& log = session.sequence().tokens();
    REQUIRE(log.pictures().size() == 3);
    const auto& picture = log.pictures()[0];
    const auto first = static_cast<int>(picture.first);  // after text
    CHECK(picture.tokens == 6);
    for (std::int64_t i = 0; i < 6; ++i) {
        const auto& [row, column] = features->places[static_cast<std::size_t>(i)];
        CHECK(log.position(first + i) == TokenLog::Position{first, first + row, first + column});
    }
    const int next = first + 4;  // text goes on behind the whole grid
    CHECK(log.position(picture.end()) == TokenLog::Position{next, next, next});
    CHECK(log.pictures()[2].feature_row == log.pictures()[1].tokens);

    const std::vector<float> expected(session.logits().begin(), session.logits().end());
    for (const int chunk : {1, 5}) CHECK(testing::same_bits(run(model, prompt, chunk), expected));
}

TEST_CASE("all tokens with their places have the stock model's bits") {
    const auto whole = testing::synthetic_model<Whole>();
    const auto stock = testing::synthetic_model<Stock>();
    Session<Whole> a(whole, {.context = 200, .threads = 1});
    Session<Stock> b(stock, {.context = 200, .threads = 1});
    a.append(prompt_of(a));
    b.append(prompt_of(b));
    CHECK(a.length() == b.length());
    CHECK(testing::same_bits({a.logits().data(), a.logits().size()}, {b.logits().data(), b.logits().size()}));
}

TEST_CASE("sequences of reduced pictures are saved, restored, resumed and forked") {
    const auto model = testing::synthetic_model<Half>();
    Session<Half> session(model, {.context = 200, .threads = 1}), other(model, {.context = 120, .threads = 1});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    const TemporaryFolder folder;
    session.save(folder.file("state"));
    other.restore(folder.file("state"));
    for (std::int64_t t = 0; t < session.length(); ++t)
        CHECK(other.sequence().tokens().position(t) == session.sequence().tokens().position(t));
    session.append(7);
    other.append(7);
    CHECK(testing::same_bits({session.logits().data(), session.logits().size()},
                             {other.logits().data(), other.logits().size()}));
    Prompt longer = prompt;
    longer.tokens.insert(longer.tokens.end(), {7, 8});
    CHECK(other.resume(longer) == session.length());

    // places are no input to trust
    const std::string bytes = read_file(folder.file("state"));
    for (std::size_t at = sizeof(detail::SavedHeader); at < bytes.size(); at += 37) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] + 77);
        CHECK_THROWS_AS(other.restore(folder.write("damaged", damaged)), LoadError);
    }
}

TEST_CASE("extents of the chat count what the policy leaves, and a policy that leaves others is named") {
    const auto model = testing::synthetic_model<Half>();
    const detail::MediaConfig<Half> config(model, Assets{});
    const auto stock_model = testing::synthetic_model<Stock>();
    const detail::MediaConfig<Stock> stock(stock_model, Assets{});
    const Input size = ImageInfo{.width = 320, .height = 256, .channels = 3, .orientation = 1};
    CHECK(detail::extent_of<Half>(size, config).tokens == detail::extent_of<Stock>(size, stock).tokens / 2);
    CHECK(Half::memory_plan({.context = 64, .largest_picture = {1, 64, 64}}).total() <
          Stock::memory_plan({.context = 64, .largest_picture = {1, 64, 64}}).total());

    const auto wrong = testing::synthetic_model<With<Wrong>>();
    Session<With<Wrong>> session(wrong, {.context = 64, .threads = 1});
    CHECK_THROWS_WITH(encode(session.workspace(), patches({1, 4, 4})),
                      Catch::Contains("Wrong") && Catch::Contains("left 4"));
}

}  // namespace token_reduction_test
