#include <qwen3vl/chat/sampler.hpp>
#include <qwen3vl/chat/stop.hpp>

#include <map>
#include <set>

#include "catch.hpp"

namespace q = qwen3vl;

namespace sampler_test {

/// Draws `n` first tokens of as many answers, each with a seed of its own.
std::map<int, int> draws(q::SamplingOptions options, const std::vector<float>& logits, int n = 4000) {
    std::map<int, int> counts;
    for (int i = 0; i < n; ++i) {
        options.seed = static_cast<std::uint64_t>(i);
        q::Sampler sampler(options, static_cast<int>(logits.size()));
        ++counts[sampler.next(logits, {}, {})];
    }
    return counts;
}

const std::vector<float> ladder{0.0f, 1.0f, 2.0f, 3.0f};  // probabilities 0.032, 0.087, 0.237, 0.644

std::set<int> tokens(const std::map<int, int>& counts) {
    std::set<int> out;
    for (const auto& [token, n] : counts) out.insert(token);
    return out;
}

TEST_CASE("greedy takes the first of the likeliest") {
    q::Sampler sampler({}, 4);
    CHECK(sampler.next(std::vector<float>{1, 5, 5, 2}, {}, {}) == 1);
    CHECK(sampler.next(ladder, {}, {}) == 3);
}

TEST_CASE("sampling follows the distribution") {
    const auto counts = draws({.temperature = 1.0}, ladder);
    const double expected[] = {0.0321, 0.0871, 0.2369, 0.6439};
    // four standard deviations of a binomial with 4000 draws are at most 0.032
    for (int i = 0; i < 4; ++i) CHECK(counts.at(i) / 4000.0 == Approx(expected[i]).margin(0.032));
}

TEST_CASE("only tokens of the mask are chosen") {
    const std::vector<std::uint64_t> allowed{0b0011};
    for (const double temperature : {0.0, 2.0}) {
        q::Sampler sampler({.temperature = temperature, .repetition_penalty = 1.3}, 4);
        for (int i = 0; i < 50; ++i) CHECK(sampler.next(ladder, {}, {}, allowed) <= 1);
    }
    std::vector<float> many(130, 0.0f);
    many[129] = 9.0f;
    many[70] = 5.0f;
    q::Sampler sampler({}, 130);
    CHECK(sampler.next(many, {}, {}, std::vector<std::uint64_t>{0, ~std::uint64_t{0}}) ==
          70);  // 129 is beyond the mask
    const auto forbid = [](std::span<const int>, std::span<float> logits) {
        for (float& l : logits) l = -std::numeric_limits<float>::infinity();
    };
    CHECK(sampler.next(many, {}, forbid, std::vector<std::uint64_t>{8}) == 3);
    CHECK_THROWS_AS(sampler.next(many, {}, {}, std::vector<std::uint64_t>{0}), q::PromptError);
}

TEST_CASE("temperature sharpens") {
    const auto counts = draws({.temperature = 0.25}, ladder);  // 3 against 2: e^4
    CHECK(counts.at(3) / 4000.0 == Approx(0.9817).margin(0.01));
}

TEST_CASE("top_k, top_p and min_p keep what they should") {
    CHECK(tokens(draws({.temperature = 1.0, .top_k = 2}, ladder)) == std::set{2, 3});
    CHECK(tokens(draws({.temperature = 1.0, .top_p = 0.6}, ladder)) == std::set{3});
    CHECK(tokens(draws({.temperature = 1.0, .top_p = 0.7}, ladder)) == std::set{2, 3});
    CHECK(tokens(draws({.temperature = 1.0, .min_p = 0.3}, ladder)) == std::set{2, 3});  // e^-1 = 0.37, e^-2 = 0.14
    CHECK(tokens(draws({.temperature = 1.0, .min_p = 0.1}, ladder)) == std::set{1, 2, 3});
}

TEST_CASE("penalties count prompt and answer as documented") {
    const std::vector<float> logits{1.0f, 1.1f, -1.0f, -1.05f};
    SECTION("repetition: prompt and answer, both signs") {
        q::Sampler sampler({.repetition_penalty = 1.2}, 4);
        sampler.see_prompt(std::vector<int>{1});
        CHECK(sampler.next(logits, {}, {}) == 0);  // 1.1 / 1.2 < 1
        CHECK(sampler.next(logits, {}, {}) == 1);  // now 1 / 1.2 < 1.1 / 1.2
        q::Sampler negative({.repetition_penalty = 1.2}, 2);
        negative.see_prompt(std::vector<int>{0});
        CHECK(negative.next(std::vector<float>{-1.0f, -1.05f}, {}, {}) == 1);  // -1 * 1.2
    }
    SECTION("presence: once") {
        q::Sampler sampler({.presence_penalty = 0.15}, 4);
        sampler.see_prompt(std::vector<int>{1});
        CHECK(sampler.next(logits, {}, {}) == 1);  // the prompt does not count
        CHECK(sampler.next(logits, {}, {}) == 0);
        CHECK(sampler.next(logits, {}, {}) == 1);  // both are penalised once
        CHECK(sampler.next(logits, {}, {}) == 1);
    }
    SECTION("frequency: each time") {
        q::Sampler sampler({.frequency_penalty = 0.15}, 4);
        std::vector<int> out;
        for (int i = 0; i < 4; ++i) out.push_back(sampler.next(logits, {}, {}));
        CHECK(out == std::vector<int>{1, 0, 1, 0});
    }
}

TEST_CASE("the same seed gives the same tokens, another one others") {
    const auto run = [](std::uint64_t seed) {
        q::Sampler sampler({.temperature = 1.5, .seed = seed}, 4);
        std::vector<int> out;
        for (int i = 0; i < 64; ++i) out.push_back(sampler.next(ladder, {}, {}));
        return out;
    };
    CHECK(run(7) == run(7));
    CHECK(run(7) != run(8));
}

TEST_CASE("a processor changes the logits and sees the answer") {
    q::Sampler sampler({}, 4);
    const std::vector<int> answer{2, 2};
    const q::LogitsProcessor ban = [&](std::span<const int> seen, std::span<float> logits) {
        CHECK(std::vector<int>(seen.begin(), seen.end()) == answer);
        logits[3] = -std::numeric_limits<float>::infinity();
    };
    CHECK(sampler.next(ladder, answer, ban) == 2);
}

TEST_CASE("options out of range are refused by name") {
    CHECK_THROWS_WITH(q::Sampler({.temperature = -1}, 4), Catch::Contains("temperature"));
    CHECK_THROWS_WITH(q::Sampler({.top_p = 0}, 4), Catch::Contains("top_p"));
    CHECK_THROWS_WITH(q::Sampler({.min_p = 2}, 4), Catch::Contains("min_p"));
    CHECK_THROWS_WITH(q::Sampler({.repetition_penalty = 0}, 4), Catch::Contains("repetition_penalty"));
    CHECK_THROWS_AS(q::Sampler({.top_k = -1}, 4), q::PromptError);
}

TEST_CASE("a loop is an end that repeats often enough, of any period") {
    const auto stops_at = [](const std::vector<int>& period, q::LoopGuard guard) {
        q::LoopDetector detector(guard);
        std::vector<int> answer{1000, 1001, 1002};
        for (const int t : answer) detector.push({t});
        answer.clear();
        for (int i = 0; i < 1000; ++i) {
            answer.push_back(period[static_cast<std::size_t>(i) % period.size()]);
            if (detector.push(answer)) return i + 1;
        }
        return -1;
    };
    const q::LoopGuard guard{.longest = 8, .repeats = 4, .least = 20};
    CHECK(stops_at({5}, guard) == 20);
    CHECK(stops_at({1, 2, 3}, guard) == 20);
    CHECK(stops_at({1, 2, 3, 4, 5, 6, 7, 8}, guard) == 32);
    CHECK(stops_at({1, 2, 3, 4, 5, 6, 7, 8, 9}, guard) == -1);
    CHECK(stops_at({5}, {.longest = 8, .repeats = 0, .least = 20}) == -1);
}

TEST_CASE("stop strings are cut off wherever the pieces fall") {
    for (std::size_t step = 1; step <= 6; ++step) {
        q::StopStrings stops({"END", "\n\n"});
        const std::string text = "some EN text\nwith END and more";
        std::string shown;
        for (std::size_t i = 0; i < text.size() && !stops.found(); i += step) shown += stops.push(text.substr(i, step));
        CHECK(stops.found());
        CHECK(shown == "some EN text\nwith ");
    }
    q::StopStrings none({"END"});
    CHECK(none.push("the E") == "the ");
    CHECK(none.finish() == "E");
    CHECK_FALSE(none.found());
}

}  // namespace sampler_test
