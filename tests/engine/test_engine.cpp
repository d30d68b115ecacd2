#include <qwen3vl/engine/engine.hpp>
#include <qwen3vl/qwen3vl.hpp>
#include <random>
#include "catch.hpp"

namespace q = qwen3vl;

namespace engine_test {

using Text = q::TextPolicies<>::with_weights<q::weights::Float32>::with_kv_cache<q::kv_cache::Paged<q::kv_cache::Bf16>>;
using M = q::Model<q::models::Shapes, q::PoliciesWithWeights<q::weights::Float32>::with_text<Text>>;

const M& model() {
    static const M m = M::load(test_models("/shapes"));
    return m;
}
const std::string images = test_data("/shapes_eval/images/");

/// What a request asks, as messages and as a chat says it.
struct Question {
    int picture = -1;  ///< number of a scene; -1: none
    std::string text;
    std::uint64_t seed = 0;  ///< above 0: sampled
    int tokens = 24;
};
std::string file(int picture) {
    const std::string number = std::to_string(picture);
    return images + std::string(3 - number.size(), '0') + number + ".png";
}

/// Keeps long answers going: nothing ends them but their length.
q::LogitsProcessor processor(const Question& asked) {
    if (asked.tokens <= 24) return {};
    return [](std::span<const int>, std::span<float> logits) {
        for (const int t : model().assets()->generation.eos) logits[static_cast<std::size_t>(t)] = -1e9f;
    };
}

q::EngineRequest request(const Question& asked) {
    q::EngineRequest r;
    q::chat::Message m{q::chat::Role::user, {}};
    if (asked.picture >= 0) {
        r.media.emplace_back(q::Image::open(file(asked.picture)));
        m.content.emplace_back(q::chat::ImagePart{});
    }
    m.content.emplace_back(asked.text);
    r.conversation.messages = {m};
    r.generation = {.max_new_tokens = asked.tokens,
                    .sampling = {.temperature = asked.seed ? 2.0 : 0.0, .seed = asked.seed},
                    .logits_processor = processor(asked)};
    return r;
}
/// The answer of a chat that has the model to itself.
std::vector<int> alone(const Question& asked) {
    q::PagePool pool(model(), {.tokens = 1024});
    q::ChatOptions options{.max_new_tokens = asked.tokens,
                           .seed = asked.seed,
                           .logits_processor = processor(asked),
                           .session = {.context = 512}};
    options.temperature = asked.seed ? 2.0 : 0.0;
    q::Chat chat(pool, options);
    std::vector<q::Input> content;
    if (asked.picture >= 0) content.emplace_back(q::Image::open(file(asked.picture)));
    content.emplace_back(asked.text);
    return chat.ask(content).tokens;
}
const std::vector<Question>& questions() {
    static const std::vector<Question> all = {{11, "Describe the picture."},        {0, "Describe the picture.", 7},
                                              {-1, "What is a circle?", 3},         {11, "What color is the star?"},
                                              {1, "How many objects are there?"},   {-1, "Say something.", 5, 150},
                                              {2, "Describe the picture.", 9, 150}, {3, "Is there a star?"}};
    return all;
}
const std::vector<std::vector<int>>& expected() {
    static const auto all = [] {
        std::vector<std::vector<int>> out;
        for (const auto& asked : questions()) out.push_back(alone(asked));
        return out;
    }();
    return all;
}

TEST_CASE("an answer does not depend on what else runs") {
    q::PagePool pool(model(), {.tokens = 8192});
    for (const int rows : {256, 20}) {
        q::Engine engine(pool, {.context = 512, .rows = rows, .prefill_rows = 16, .running = 5, .threads = 2});
        std::vector<q::EngineAnswer> answers;
        for (int round = 0; round < 2; ++round)
            for (const auto& asked : questions()) answers.push_back(engine.submit(request(asked)));
        for (std::size_t i = 0; i < answers.size(); ++i) {
            CAPTURE(rows, i);
            const auto reply = answers[i].get();
            CHECK(reply.tokens == expected()[i % questions().size()]);
            CHECK(reply.preemptions == 0);
        }
        const auto s = engine.statistics();
        CHECK(s.finished == std::ssize(answers));
        CHECK((s.running == 0 && s.waiting == 0));
    }
    CHECK(pool.statistics().in_use == 0);
}

TEST_CASE("where pages run out, requests wait or begin again, and answer the same") {
    q::PagePool pool(model(), {.tokens = 5 * 64});
    q::Engine engine(pool, {.context = 256, .rows = 128, .threads = 2});
    std::vector<q::EngineAnswer> answers;
    for (int round = 0; round < 2; ++round)
        for (const auto& asked : questions()) answers.push_back(engine.submit(request(asked)));
    std::int64_t preemptions = 0;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        CAPTURE(i);
        const auto reply = answers[i].get();
        CHECK(reply.tokens == expected()[i % questions().size()]);
        preemptions += reply.preemptions;
    }
    CHECK(preemptions > 0);
    CHECK(engine.statistics().preemptions > 0);
    CHECK(pool.statistics().in_use == 0);
}

TEST_CASE("requests may be cancelled at any time, and give everything back") {
    q::PagePool pool(model(), {.tokens = 10 * 64});
    std::mt19937 random(5);
    {
        q::Engine engine(pool, {.context = 256, .rows = 64, .running = 6, .threads = 2});
        std::vector<std::pair<q::EngineAnswer, std::size_t>> answers;
        for (int i = 0; i < 60; ++i) {
            const std::size_t which = random() % questions().size();
            auto r = request(questions()[which]);
            const int after = static_cast<int>(random() % 12);
            if (i % 4 == 1) r.on_text = [after, n = 0](std::string_view) mutable { return ++n < after; };
            if (i % 4 == 2) r.on_text = [](std::string_view) -> bool { throw std::runtime_error("a user's own"); };
            if (i % 8 == 3) r.seconds = 1e-3 * static_cast<double>(random() % 20);
            answers.emplace_back(engine.submit(std::move(r)), which);
            if (i % 3 == 0) answers[random() % answers.size()].first.cancel();
        }
        for (auto& [answer, which] : answers) {
            try {
                const auto reply = answer.get();
                const auto& all = expected()[which];
                REQUIRE(reply.tokens.size() <= all.size());
                CHECK(std::equal(reply.tokens.begin(), reply.tokens.end(), all.begin()));
                if (reply.reason != q::StopReason::cancelled) CHECK(reply.tokens.size() == all.size());
            } catch (const std::runtime_error& e) {
                CHECK(e.what() == std::string("a user's own"));
            }
        }
    }
    CHECK(pool.statistics().in_use == 0);
}

TEST_CASE("an engine that ends tells those who wait") {
    q::PagePool pool(model(), {.tokens = 1024});
    std::vector<q::EngineAnswer> answers;
    {
        q::Engine engine(pool, {.context = 512, .threads = 1});
        for (int i = 0; i < 30; ++i) answers.push_back(engine.submit(request(questions()[5])));
    }
    int told = 0;
    for (auto& a : answers) try {
            a.get();
        } catch (const q::Cancelled&) {
            ++told;
        }
    CHECK(told > 0);
    CHECK(pool.statistics().in_use == 0);
}

TEST_CASE("requests that can never be answered are refused with a reason") {
    q::PagePool pool(model(), {.tokens = 64});
    q::Engine engine(pool, {.context = 256, .waiting = 2, .threads = 1});
    auto text = request({-1, std::string(3000, 'x')});
    CHECK_THROWS_AS(engine.submit(text), q::ContextOverflow);
    auto both = request(questions()[0]);
    both.media.clear();
    CHECK_THROWS_AS(engine.submit(both), q::PromptError);
    auto hot = request({-1, "Hello"});
    hot.generation.sampling.temperature = -1;
    CHECK_THROWS_AS(engine.submit(hot), q::PromptError);
    // a page is too little for this one, though nobody else runs
    CHECK_THROWS_AS(engine.submit(request({-1, std::string(200, 'x')})).get(), q::PoolExhausted);
    std::vector<q::EngineAnswer> answers;
    const auto flood = [&] {
        for (int i = 0; i < 100; ++i) answers.push_back(engine.submit(request({-1, "Hi", 1, 40})));
    };
    CHECK_THROWS_AS(flood(), q::Overloaded);
    CHECK(engine.statistics().refused == 1);
    for (auto& a : answers) a.cancel();
    for (auto& a : answers) a.get();
}

}  // namespace engine_test
