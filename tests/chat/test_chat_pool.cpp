#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>
#include <thread>
#include "catch.hpp"
#include "temporary_folder.hpp"

namespace q = qwen3vl;

namespace chat_pool_test {

using Text = q::TextPolicies<>::with_weights<q::weights::Float32>;
template <class Cache>
using With =
    q::Model<q::models::Shapes, q::PoliciesWithWeights<q::weights::Float32>::with_text<Text::with_kv_cache<Cache>>>;
using M = With<q::kv_cache::Paged<q::kv_cache::Float32>>;

const M& model() {
    static const M m = M::load(test_models("/shapes"));
    return m;
}
const std::string images = test_data("/shapes_eval/images/");
q::Image scene() { return q::Image::open(images + "011.png"); }
constexpr const char* description = "From left to right: a blue star, an orange triangle and a black circle.";

/// Some pages of rules.
std::string rules() {
    std::string text;
    for (int i = 0; i < 40; ++i) text += "Say what the picture shows and nothing else. ";
    return text;
}

TEST_CASE("chats on one pool compute what they begin with once, picture and all, and answer the same") {
    using Alone = With<q::kv_cache::Contiguous<q::kv_cache::Float32>>;
    const Alone alone = Alone::load(test_models("/shapes"));
    const std::vector<q::Input> seen = {scene(), "Describe the picture."}, asked = {scene(), "What color is the star?"};
    const auto pictures = std::make_shared<q::FeatureCache>(std::int64_t{1} << 24);
    q::PagePool pool(model(), {.tokens = 8192});
    const q::ChatOptions options{
        .max_new_tokens = 64, .system = rules(), .session = {.context = 4096}, .feature_cache = pictures};
    q::Chat first(pool, options), second(pool, options), third(pool, options);
    q::Chat by_itself(alone, {.max_new_tokens = 64, .system = rules(), .session = {.context = 4096}});
    const auto expected = by_itself.ask(seen), next = by_itself.ask("How many objects are there?");

    const auto one = first.ask(seen);
    CHECK(one.tokens == expected.tokens);
    CHECK(one.reused_tokens == 0);
    const auto two = second.ask(seen);
    CHECK(two.tokens == expected.tokens);
    CHECK(two.reused_tokens == (two.prompt_tokens - 1) / 64 * 64);
    CHECK(pictures->misses() == 1);
    const auto other = third.ask(asked);
    CHECK(other.reused_tokens >= 64);
    CHECK(other.reused_tokens < other.prompt_tokens);
    // the next turn goes on in the session itself
    const auto more = second.ask("How many objects are there?");
    CHECK(more.tokens == next.tokens);
    CHECK(more.reused_tokens >= two.prompt_tokens + static_cast<std::int64_t>(two.tokens.size()) - 1);
    // what a whole conversation left is found by one that repeats it
    first.clear();
    first.ask(seen);
    const auto again = first.ask("How many objects are there?");
    CHECK(again.tokens == next.tokens);

    const TemporaryFolder folder;
    second.save(folder.file("chat"));
    third.restore(folder.file("chat"));
    second.ask("What color is the star?");
    third.ask("What color is the star?");
    CHECK(second.messages().back().content == third.messages().back().content);
}

TEST_CASE("an answer that exhausts the pool is an error, and the conversation is as before") {
    q::PagePool pool(model(), {.tokens = 192});
    q::Chat chat(pool, {.max_new_tokens = 64, .session = {.context = 2000}}),
        other(pool, {.max_new_tokens = 64, .session = {.context = 2000}});
    CHECK(chat.ask({scene(), "Describe the picture."}).text == description);
    CHECK_THROWS_AS(other.ask(std::vector<q::Input>{rules()}), q::PoolExhausted);
    CHECK(other.messages().empty());
    bool exhausted = false;
    for (int turn = 0; turn < 10 && !exhausted; ++turn) {
        const auto messages = chat.messages().size();
        try {
            chat.ask("Describe the picture again, all of it.");
        } catch (const q::PoolExhausted&) {
            exhausted = true;
            CHECK(chat.messages().size() == messages);
        }
    }
    CHECK(exhausted);
    chat.clear();
    CHECK(chat.ask({scene(), "Describe the picture."}).text == description);
}

TEST_CASE("chats of several threads share a pool") {
    q::PagePool pool(model(), {.tokens = 4096});
    std::vector<std::string> answers(3);
    std::vector<std::thread> threads;
    for (auto& answer : answers)
        threads.emplace_back([&] {
            q::Chat chat(pool, {.max_new_tokens = 64, .session = {.context = 600, .threads = 1}});
            answer = chat.ask({scene(), "Describe the picture."}).text;
        });
    for (auto& t : threads) t.join();
    CHECK(answers == std::vector<std::string>(3, description));
    CHECK(pool.statistics().in_use == 0);
}

TEST_CASE("chats that take turns leave memory, and answer the same") {
    using Exact = q::PoliciesWithWeights<q::weights::Float32>;
    using Plain = q::Model<q::models::Shapes, Exact>;
    using Tiered = q::Model<q::models::Shapes, Exact::with_memory<q::memory::Tiered>>;
    const Plain plain = Plain::load(test_models("/shapes"));
    const Tiered tiered = Tiered::load(test_models("/shapes"));
    const TemporaryFolder folder;
    q::memory::Tiers tiers({.folder = folder.path(), .attention = 1200 << 10});
    q::ChatOptions options{.max_new_tokens = 64, .session = {.context = 600, .threads = 1, .decode_threads = 1}};
    q::Chat expected(plain, options);
    options.session.tiers = &tiers;
    q::Chat one(tiered, options), two(tiered, options);
    for (int turn = 0; turn < 2; ++turn) {
        const auto answer = expected.ask({scene(), "Describe the picture."}).text;
        for (auto* chat : {&one, &two}) CHECK(chat->ask({scene(), "Describe the picture."}).text == answer);
    }
    CHECK(tiers.statistics(q::memory::Pool::attention).to_disk > 0);
}

}  // namespace chat_pool_test
