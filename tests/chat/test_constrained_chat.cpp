#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>

#include "catch.hpp"
#include "constrain/small_vocabulary.hpp"
#include "temporary_folder.hpp"

namespace q = qwen3vl;
using M = q::Model<q::models::Shapes, q::bundles::float32>;

namespace constrained_chat_test {

namespace c = q::constrain;

const M& model() {
    static const M m = M::load(test_models("/shapes"));
    return m;
}
q::Image scene() { return q::Image::open(test_data("/shapes_eval/images/011.png")); }

constexpr const char* object_schema =
    R"({"type": "object", "properties": {"shape": {"enum": ["star", "triangle", "circle"]},
    "color": {"type": "string", "pattern": "^[a-z]{3,8}$"}, "count": {"type": "integer", "minimum": 0, "maximum": 20}},
    "required": ["shape", "color", "count"], "additionalProperties": false})";

TEST_CASE("an answer about a picture keeps to its schema at any temperature") {
    for (const double temperature : {0.0, 0.7, 2.0})
        for (const std::uint64_t seed : {1u, 2u}) {
            q::Chat chat(model(), {.max_new_tokens = 200,
                                   .temperature = temperature,
                                   .seed = seed,
                                   .answer = c::json_schema(object_schema),
                                   .session = {.context = 1024}});
            std::string streamed;
            const auto reply = chat.ask({scene(), "Describe the picture."}, [&](std::string_view t) { streamed += t; });
            INFO(reply.text);
            CHECK(streamed == reply.text);
            REQUIRE(reply.reason == q::StopReason::stop_token);
            const auto json = nlohmann::json::parse(reply.text);
            CHECK(json.size() == 3);
            CHECK(json["count"].get<int>() <= 20);
            CHECK(json["color"].get<std::string>().size() <= 8);
        }
}

TEST_CASE("forced tokens change no answer, and need no pass of their own") {
    const auto grammar = c::regex("From left to right: a (blue|red) star, an? [a-z ,]{1,60}\\.");
    const auto ask = [&](int logprobs, int& passes) {
        q::Chat chat(model(), {.max_new_tokens = 64,
                               .logits_processor = [&](std::span<const int>, std::span<float>) { ++passes; },
                               .answer = grammar,
                               .logprobs = logprobs,
                               .session = {.context = 512}});
        return chat.ask({scene(), "Describe the picture."});
    };
    int with = 0, without = 0;
    const auto forced = ask(-1, with), stepped = ask(0, without);
    CHECK(forced.text == "From left to right: a blue star, an orange triangle and a black circle.");
    CHECK(stepped.text == forced.text);
    CHECK(with < without);
    CHECK(stepped.logprobs.size() == stepped.tokens.size());
}

TEST_CASE("a schema of one turn does not bind the next, and saved chats go on") {
    const TemporaryFolder folder;
    q::Chat chat(model(), {.max_new_tokens = 64, .session = {.context = 1024}});
    chat.set_answer(c::json_schema(R"({"enum": ["blue", "red"]})"));
    CHECK(chat.ask({scene(), "What color is the star?"}).text == "\"blue\"");
    chat.save(folder.path() + "/chat");
    chat.set_answer({});
    const auto next = chat.ask("How many objects are there?");
    q::Chat restored(model(), {.max_new_tokens = 64, .session = {.context = 1024}});
    restored.restore(folder.path() + "/chat");
    CHECK(restored.ask("How many objects are there?").text == next.text);
}

TEST_CASE("boxes are read as detections") {
    q::Chat chat(
        model(),
        {.max_new_tokens = 300, .temperature = 1.0, .seed = 4, .answer = c::boxes(), .session = {.context = 1024}});
    const auto reply = chat.ask({scene(), "Where is the star?"});
    INFO(reply.text);
    if (reply.reason == q::StopReason::stop_token)
        CHECK(q::image::parse_detections(reply.text).size() == nlohmann::json::parse(reply.text).size());
    CHECK(reply.text.starts_with("["));
}

TEST_CASE("a required tool call is valid") {
    q::Chat chat(
        model(),
        {.max_new_tokens = 200,
         .temperature = 2.0,
         .tool_choice = q::ToolChoice::required(),
         .tools = {R"({"type": "function", "function": {"name": "zoom", "parameters": {"type": "object", "properties":
                      {"factor": {"type": "integer", "minimum": 1, "maximum": 8}}, "required": ["factor"],
                      "additionalProperties": false}}})"},
         .session = {.context = 1024}});
    const auto reply = chat.ask({scene(), "Look closer."});
    INFO(reply.text);
    REQUIRE(reply.reason == q::StopReason::stop_token);
    REQUIRE(reply.tool_calls.size() == 1);
    CHECK(reply.tool_calls[0].name == "zoom");
    const int factor = nlohmann::json::parse(reply.tool_calls[0].arguments)["factor"].get<int>();
    CHECK((factor >= 1 && factor <= 8));
    q::Chat none(model(), {.tool_choice = q::ToolChoice::required()});
    CHECK_THROWS_AS(none.ask("Hello."), q::GrammarError);
    CHECK(none.messages().empty());
}

TEST_CASE("thinking is closed when its tokens are used up, and the grammar follows") {
    const auto tokenizer = small_vocabulary::make_tokenizer({"\n\n", "abc"}, false, {"</think>"});
    const int think_end = tokenizer.added_token_id("</think>").value(),
              turn_end = tokenizer.added_token_id("<|im_end|>").value();
    q::AnswerOptions options;
    options.grammar = c::regex("abc|x");
    options.thinking = 2;
    for (const bool early : {false, true}) {
        q::ConstrainedAnswer answer(options, tokenizer, {turn_end});
        CHECK(!small_vocabulary::bit(answer.mask(), turn_end));
        CHECK(small_vocabulary::bit(answer.mask(), think_end));
        CHECK(answer.forced().empty());
        answer.accept('q');
        if (early) {
            answer.accept(think_end);
        } else {
            answer.accept('q');
            std::string closing;
            for (const int t : answer.forced()) {
                CHECK(small_vocabulary::bit(answer.mask(), t));
                answer.accept(t);
                closing += tokenizer.token_bytes(t);
            }
            CHECK(closing == "\n</think>\n\n");
        }
        CHECK(small_vocabulary::bit(answer.mask(), 'x'));
        CHECK(!small_vocabulary::bit(answer.mask(), 'q'));
        answer.accept('x');
        CHECK(answer.finished());
    }
    CHECK_THROWS_AS(q::ConstrainedAnswer(options, small_vocabulary::tokenizer(), {}), q::TokenizerError);
}

TEST_CASE("a prefix and a suffix stand around what the grammar describes") {
    const auto& tokenizer = small_vocabulary::tokenizer();
    q::AnswerOptions options;
    options.grammar = c::regex("a+");
    options.prefix = "<<";
    options.suffix = ">>";
    q::ConstrainedAnswer answer(options, tokenizer, {tokenizer.vocab_size() - 1});
    for (const char ch : std::string_view("<<aa>")) {
        CHECK(small_vocabulary::bit(answer.mask(), ch));
        answer.accept(ch);
    }
    CHECK(!answer.finished());
    CHECK(!small_vocabulary::bit(answer.mask(), 'a'));
    answer.accept('>');
    CHECK(answer.finished());
}

}  // namespace constrained_chat_test
