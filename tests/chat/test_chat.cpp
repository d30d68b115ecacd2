#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>

#include "catch.hpp"

namespace q = qwen3vl;
using M = q::Model<q::models::Shapes, q::bundles::float32>;

namespace chat_test {

const std::string images = test_data("/shapes_eval/images/");

const M& model() {
    static const M m = M::load(test_models("/shapes"));
    return m;
}
q::Image scene() { return q::Image::open(images + "011.png"); }
constexpr const char* description = "From left to right: a blue star, an orange triangle and a black circle.";

TEST_CASE("pictures, further turns and what they keep") {
    q::Chat chat(model(), {.max_new_tokens = 64});
    std::string streamed;
    const auto first = chat.ask({scene(), "Describe the picture."}, [&](std::string_view text) { streamed += text; });
    CHECK(first.text == description);
    CHECK(streamed == description);
    CHECK(first.reason == q::StopReason::stop_token);
    CHECK(first.reused_tokens == 0);
    const auto second = chat.ask("How many objects are there?");
    // all of the first turn but what follows the answer's last token
    CHECK(second.reused_tokens >= first.prompt_tokens + static_cast<std::int64_t>(first.tokens.size()) - 1);
    CHECK(chat.messages().size() == 4);
    SECTION("after clear() the picture is neither encoded nor computed again") {
        const auto misses = chat.feature_cache().misses();
        chat.clear();
        CHECK(chat.messages().empty());
        const auto again = chat.ask({scene(), "What color is the star?"});
        CHECK(again.text == "blue");
        CHECK(chat.feature_cache().misses() == misses);
        CHECK(again.reused_tokens > 16);
    }
    SECTION("another picture in its place is computed") {
        chat.clear();
        const auto other = chat.ask({q::Image::open(images + "036.png"), "Describe the picture."});
        CHECK(other.text == "From left to right: a purple triangle, a blue triangle and a red star.");
    }
}

TEST_CASE("the answer does not depend on chunk, threads or cache reuse") {
    for (const int chunk : {1, 7, 512})
        for (const int threads : {1, 2}) {
            q::Chat chat(model(), {.max_new_tokens = 64, .session = {.chunk = chunk, .threads = threads}});
            CHECK(chat.ask({scene(), "Describe the picture."}).text == description);
        }
}

TEST_CASE("tokens are counted without pixels") {
    q::Chat chat(model(), {.max_new_tokens = 8});
    const auto picture = scene();
    const auto counted = chat.token_count({picture, "Describe the picture."});
    CHECK(chat.token_count({q::Image::probe(images + "011.png"), "Describe the picture."}) == counted);
    CHECK(chat.ask({picture, "Describe the picture."}).prompt_tokens == counted);
    CHECK_THROWS_AS(chat.ask({q::Image::probe(images + "011.png"), "Describe the picture."}), q::PromptError);
}

TEST_CASE("clips") {
    std::vector<std::string> frames;
    for (char c = 'a'; c <= 'f'; ++c) frames.push_back(images + "012" + c + ".png");
    q::Chat chat(model());
    CHECK(chat.ask({q::Video::from_files(frames, 1.0), "What happens in the video?"}).text ==
          "A blue heart moves right and an orange heart stays.");
}

TEST_CASE("the one-liners") {
    CHECK(q::generate_multimodal_response(model(), images + "011.png", "Describe the picture.") == description);
    CHECK(q::process_multimodal_request(model(), "What color is the star?", scene()) == "blue");
}

TEST_CASE("an answer ends as asked") {
    const auto ask = [](q::ChatOptions options, const q::TextCallback& callback = {}) {
        q::Chat chat(model(), std::move(options));
        return chat.ask({scene(), "Describe the picture."}, callback);
    };
    SECTION("max_new_tokens") {
        const auto r = ask({.max_new_tokens = 3});
        CHECK(r.reason == q::StopReason::max_new_tokens);
        CHECK(r.tokens.size() == 3);
    }
    SECTION("stop string") {
        const auto r = ask({.stop = {"orange"}});
        CHECK(r.reason == q::StopReason::stop_string);
        CHECK(r.text == "From left to right: a blue star, an ");
    }
    SECTION("callback") {
        const auto r = ask({}, [](std::string_view) { return false; });
        CHECK(r.reason == q::StopReason::cancelled);
        CHECK(r.tokens.size() == 1);
    }
    SECTION("context") {
        q::Chat chat(model());
        const auto tokens = static_cast<int>(chat.token_count({scene(), "Describe the picture."}));
        CHECK(ask({.session = {.context = tokens + 2}}).reason == q::StopReason::context_full);
        CHECK_THROWS_WITH(ask({.session = {.context = tokens - 1}}), Catch::Contains("fit"));
    }
    SECTION("loop") {
        const q::LogitsProcessor always = [](std::span<const int>, std::span<float> logits) { logits[64] = 1e9f; };
        const auto r = ask({.loop_guard = {.longest = 4, .repeats = 3, .least = 10}, .logits_processor = always});
        CHECK(r.reason == q::StopReason::loop);
        CHECK(r.tokens == std::vector<int>(10, 64));
    }
}

TEST_CASE("log-probabilities are those of the logits") {
    q::Chat chat(model(), {.max_new_tokens = 4, .logprobs = 3});
    const auto r = chat.ask({scene(), "Describe the picture."});
    REQUIRE(r.logprobs.size() == r.tokens.size());
    for (std::size_t i = 0; i < r.tokens.size(); ++i) {
        CHECK(r.logprobs[i].chosen.token == r.tokens[i]);
        REQUIRE(r.logprobs[i].likeliest.size() == 3);
        CHECK(r.logprobs[i].likeliest[0].token == r.tokens[i]);  // greedy
        CHECK(r.logprobs[i].chosen.logprob <= 0);
        CHECK(r.logprobs[i].likeliest[0].logprob >= r.logprobs[i].likeliest[1].logprob);
    }
}

TEST_CASE("sampling is repeatable") {
    const auto ask = [](std::uint64_t seed) {
        q::Chat chat(model(), {.max_new_tokens = 24, .temperature = 10.0, .seed = seed});
        return chat.ask({scene(), "Describe the picture."}).tokens;
    };
    CHECK(ask(3) == ask(3));
    CHECK(ask(3) != ask(4));
}

TEST_CASE("cancelling leaves the conversation as it was") {
    std::string cancel;
    q::Chat chat(model(), {.max_new_tokens = 64, .session = {.chunk = 4}, .progress = [&](const q::Progress& p) {
                               return p.stage != cancel || p.done == 0;
                           }});
    for (const char* stage : {"image", "prefill"}) {
        cancel = stage;
        CHECK_THROWS_AS(chat.ask({scene(), "Describe the picture."}), q::Cancelled);
        CHECK(chat.messages().empty());
    }
    cancel.clear();
    CHECK(chat.ask({scene(), "Describe the picture."}).text == description);
}

TEST_CASE("loading reports progress and can be cancelled") {
    std::int64_t last = -1, total = 0;
    const auto folder = test_models("/shapes");
    (void)M::load(folder, {.progress = [&](const q::Progress& p) {
                      CHECK(p.stage == "load");
                      CHECK(p.done >= last);
                      last = p.done;
                      total = p.total;
                      return true;
                  }});
    CHECK(last == total);
    CHECK_THROWS_AS(M::load(folder, {.progress = [](const q::Progress& p) { return p.done < 5; }}), q::Cancelled);
}

TEST_CASE("what a user types cannot become control tokens") {
    q::Chat chat(model(), {.max_new_tokens = 1});
    const auto plain = chat.token_count({"hello"});
    CHECK(chat.token_count({"<|im_end|>"}) > plain + 3);  // letters, not one token
    q::Chat other(model(), {.max_new_tokens = 1});
    CHECK_NOTHROW(other.ask("<|vision_start|><|image_pad|><|vision_end|>"));  // no picture is missing: it is text
}

TEST_CASE("a ring cache talks on, and computes again what it cannot go back to") {
    struct Ring : q::TextPolicies<>::with_weights<q::weights::Float32>::with_attention<
                      q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 512}>>>::
                      with_kv_cache<q::kv_cache::Ring<q::Tokens{640}, q::kv_cache::Float32>> {};
    using R = q::Model<q::models::Shapes, q::Policies<>::with_text<Ring>>;
    const auto m = R::load(test_models("/shapes"));
    q::Chat chat(m, {.max_new_tokens = 64});
    CHECK(chat.ask({scene(), "Describe the picture."}).text == description);
    CHECK_NOTHROW(chat.ask("How many objects are there?"));
}

TEST_CASE("tool calls are taken out of an answer, or left as they are") {
    std::vector<q::chat::ToolCall> calls;
    CHECK(q::chat::take_tool_calls(
              "Let me look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>",
              calls) == "Let me look.");
    REQUIRE(calls.size() == 1);
    CHECK(calls[0] == q::chat::ToolCall{"weather", "{\"city\": \"Paris\"}"});
    calls.clear();
    CHECK(q::chat::take_tool_calls("<tool_call>{\"name\":\"a\",\"arguments\":{}}</"
                                   "tool_call>\n<tool_call>{\"name\":\"b\",\"arguments\":{\"x\":1}}</tool_call>",
                                   calls)
              .empty());
    CHECK(calls.size() == 2);
    for (const char* broken : {"<tool_call>", "<tool_call>{}</tool_call>", "<tool_call>[1]</tool_call>",
                               "x <tool_call>{\"name\": 1, \"arguments\": {}}</tool_call>",
                               "<tool_call>{\"name\":\"a\",\"arguments\":{}}</tool_call> and more",
                               "<tool_call>{\"name\":\"a\",\"arguments\":\"{}\"}</tool_call>",
                               "<tool_call>[{\"name\":\"a\",\"arguments\":{}}]</tool_call>",
                               "<tool_call>{\"name\":\"a\",\"name\":\"b\",\"arguments\":{}}</tool_call>"}) {
        calls.clear();
        CHECK(q::chat::take_tool_calls(broken, calls) == broken);
        CHECK(calls.empty());
    }
}

TEST_CASE("hidden states and pooled embeddings") {
    q::Session<M> session(model(), {.context = 512, .chunk = 16});
    const auto states = q::hidden_states(session, {scene(), "Describe the picture."});
    REQUIRE(states.values.size() == states.tokens.size() * 192);
    CHECK(session.length() == static_cast<std::int64_t>(states.tokens.size()));
    const auto cosine = [](const std::vector<float>& a, const std::vector<float>& b) {
        double sum = 0;
        for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        return sum;
    };
    for (const auto pooling : {q::Pooling::mean, q::Pooling::last}) {
        const auto same = q::hidden_states(session, {scene(), "Describe the picture."}).pooled(pooling);
        CHECK(cosine(states.pooled(pooling), same) == Approx(1.0).margin(1e-5));
        const auto other =
            q::hidden_states(session, {q::Image::open(images + "036.png"), "Count the objects."}).pooled(pooling);
        CHECK(cosine(states.pooled(pooling), other) < 0.999);
    }
    q::Session<M> whole(model(), {.context = 512});
    CHECK(q::hidden_states(whole, {scene(), "Describe the picture."}).values ==
          states.values);  // whatever the chunk, the same bits
    const auto config = model().assets()->image;
    const auto picture = q::pooled_features(*q::encode(session.workspace(), q::preprocess(scene(), config)));
    CHECK(picture.size() == 192);
    CHECK(cosine(picture, picture) == Approx(1.0).margin(1e-5));
}

}  // namespace chat_test
