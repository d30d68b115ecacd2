#include <cstring>
#include <filesystem>
#include <fstream>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/models.hpp>
#include "catch.hpp"
#include "largest_tokens.hpp"
#include "temporary_folder.hpp"

namespace q = qwen3vl;

namespace saved_chat_test {

const std::string images = test_data("/shapes_eval/images/");
const std::string tiny_folder = test_data("/tiny");

using Exact = q::Model<q::models::Shapes, q::bundles::float32>;
using Tiny = q::Model<q::models::Tiny, q::bundles::int8>;

template <class M>
const M& shapes() {
    static const M m = M::load(test_models("/shapes"));
    return m;
}
const Tiny& tiny() {
    static const Tiny m = Tiny::load(tiny_folder);
    return m;
}
q::Image scene(const char* name = "011.png") { return q::Image::open(images + name); }
q::Input clip() {
    std::vector<std::string> frames;
    for (char c = 'a'; c <= 'f'; ++c) frames.push_back(images + "012" + c + ".png");
    return q::Video::from_files(frames, 1.0);
}
std::string bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A ring that holds the whole of these conversations, but cannot go back.
template <class Codec>
struct Ring
    : q::TextPolicies<>::with_weights<q::weights::Float32>::with_attention<q::attention::Flash<
          q::mask::SlidingWindow<q::Window{.tokens = 512}>>>::with_kv_cache<q::kv_cache::Ring<q::Tokens{640}, Codec>> {
};
template <class Codec>
struct ring_bundle : q::Policies<>::with_text<Ring<Codec>> {};

/// What a test compares of an answer: all but the times.
template <class M>
struct Answer {
    q::Reply reply;
    std::vector<float> logits;
    std::vector<q::chat::Message> messages;

    explicit Answer(q::Chat<M>& chat, q::Reply r) : reply(std::move(r)), messages(chat.messages()) {
        const auto l = chat.session().logits();
        logits.assign(l.begin(), l.end());
    }
    void require_same(const Answer& other) const {
        CHECK(reply.text == other.reply.text);
        CHECK(reply.tokens == other.reply.tokens);
        CHECK(reply.tool_calls == other.reply.tool_calls);
        CHECK(reply.prompt_tokens == other.reply.prompt_tokens);
        CHECK(reply.reused_tokens == other.reply.reused_tokens);
        CHECK(messages == other.messages);
        CHECK(q::testing::same_bits(logits, other.logits));
    }
};

using Turns = std::vector<std::vector<q::Input>>;

/// Says `before`, saves, restores in a chat of other threads, chunk and context, and says `after` in it and in one that
/// was never saved.
template <class M>
void require_same_continuation(const M& model, const q::ChatOptions& options, const Turns& before, const Turns& after) {
    const TemporaryFolder folder;
    auto unsaved_options = options, other_options = options;
    unsaved_options.session.threads = 1;
    other_options.session.threads = 2;
    other_options.session.chunk = 7;
    other_options.session.context = 1500;
    other_options.system = "not that of the saved conversation";
    other_options.tools = {};
    other_options.add_vision_id = false;
    q::Chat unsaved(model, unsaved_options), restored(model, other_options);
    for (const auto& content : before) unsaved.ask(content);
    unsaved.save(folder.file("chat"));
    restored.ask({scene("036.png"), "Count the objects."});
    restored.clear();
    const auto encoded = restored.feature_cache().misses();
    restored.restore(folder.file("chat"));
    CHECK(restored.messages() == unsaved.messages());
    CHECK(restored.token_count({"What else?"}) == unsaved.token_count({"What else?"}));
    restored.save(folder.file("again"));
    CHECK(bytes_of(folder.file("again")) == bytes_of(folder.file("chat")));
    for (const auto& content : after) {
        const Answer<M> expected(unsaved, unsaved.ask(content));
        Answer<M>(restored, restored.ask(content)).require_same(expected);
    }
    if (!before.empty())
        CHECK(restored.feature_cache().misses() == encoded);  // no picture went through the tower again
    unsaved.clear();
    restored.clear();
    CHECK(restored.messages() == unsaved.messages());  // the saved conversation's system message, if any
}

const Turns about_a_picture = {{scene(), "Describe the picture."}, {"How many objects are there?"}};
const Turns more = {{"What color is the star?"}, {scene(), "Describe the picture."}};  // the same picture once more

TEST_CASE("a chat whose pictures have half of their tokens counts those, and goes on when restored") {
    using Half =
        q::Model<q::models::Shapes,
                 q::Policies<>::with_text<q::TextPolicies<>::with_token_reduction<qwen3vl_test::LargestTokens<1, 2>>>>;
    q::Chat half(shapes<Half>(), {.max_new_tokens = 8});
    q::Chat whole(shapes<Exact>(), {.max_new_tokens = 8});
    const auto tokens_of = [](auto& chat, q::Input picture) { return chat.token_count({std::move(picture), "a"}); };
    const auto words = half.token_count({"a"});
    CHECK(2 * (tokens_of(half, scene()) - words - 2) == tokens_of(whole, scene()) - words - 2);  // start and end
    const auto counted = tokens_of(half, clip());
    CHECK(half.ask({clip(), "a"}).prompt_tokens == counted);
    require_same_continuation(shapes<Half>(), {.max_new_tokens = 20}, about_a_picture, more);
}

TEST_CASE("a restored chat answers as one that was never saved") {
    require_same_continuation(shapes<Exact>(), {.max_new_tokens = 40}, about_a_picture, more);
    require_same_continuation(shapes<q::Model<q::models::Shapes, q::bundles::int8>>(), {.max_new_tokens = 40},
                              about_a_picture, more);
    SECTION("with clips, a system message, tools and numbered pictures") {
        const q::ChatOptions options{
            .max_new_tokens = 20, .system = "Be brief.", .tools = {R"({"name": "count"})"}, .add_vision_id = true};
        require_same_continuation(shapes<Exact>(), options,
                                  {{clip(), "What happens in the video?"}, {scene(), "And here?"}}, more);
    }
    SECTION("sampled, with penalties") {
        const q::ChatOptions options{
            .max_new_tokens = 24, .temperature = 3.0, .repetition_penalty = 1.2, .presence_penalty = 0.3, .seed = 11};
        require_same_continuation(shapes<Exact>(), options, about_a_picture, more);
    }
    SECTION("before anything was said") {
        require_same_continuation(shapes<Exact>(), {.max_new_tokens = 20, .system = "Be brief."}, {}, about_a_picture);
    }
}

TEMPLATE_TEST_CASE("a ring computes its pictures again from what was saved", "", q::kv_cache::Float32,
                   q::kv_cache::Int8) {
    const auto& model = shapes<q::Model<q::models::Shapes, ring_bundle<TestType>>>();
    require_same_continuation(model, {.max_new_tokens = 40}, about_a_picture, {{"What color is the star?"}});
    // an answer that ends within a token's text is spelled differently in the next turn
    require_same_continuation(model, {.max_new_tokens = 40, .stop = {"orang"}}, {{scene(), "Describe the picture."}},
                              {{"What color is the star?"}});
}

TEST_CASE("tool calls and their results are restored") {
    const auto& model = shapes<Exact>();
    const TemporaryFolder folder;
    const auto call = model.assets()->tokenizer->encode(
        "Let me see.\n<tool_call>\n{\"name\": \"count\", \"arguments\": {\"of\": \"stars\"}}\n</tool_call>");
    const auto say_call = [&](std::span<const int> answer, std::span<float> logits) {
        const std::size_t at = answer.size();
        if (at <= call.size())
            logits[static_cast<std::size_t>(at < call.size() ? call[at] : model.assets()->generation.eos.front())] =
                1e9f;
    };
    const std::vector<std::string> tools = {R"({"type": "function", "function": {"name": "count"}})"};
    q::Chat unsaved(model, {.max_new_tokens = 100, .logits_processor = say_call, .tools = tools});
    const auto asked = unsaved.ask({scene(), "How many stars?"});
    REQUIRE(asked.tool_calls.size() == 1);
    unsaved.save(folder.file("chat"));
    q::Chat restored(model, {.max_new_tokens = 100, .logits_processor = say_call});
    restored.restore(folder.file("chat"));
    REQUIRE(restored.messages().back().tool_calls == asked.tool_calls);
    const Answer<Exact> expected(unsaved, unsaved.tool_result("one"));
    Answer<Exact>(restored, restored.tool_result("one")).require_same(expected);
}

TEST_CASE("a restored chat knows the session's pictures after clear()") {
    const auto& model = shapes<Exact>();
    const TemporaryFolder folder;
    q::Chat first(model, {.max_new_tokens = 20}), second(model, {.max_new_tokens = 20});
    first.ask({scene(), "Describe the picture."});
    first.clear();
    first.save(folder.file("chat"));
    second.restore(folder.file("chat"));
    CHECK(second.messages().empty());
    const Answer<Exact> expected(first, first.ask({scene(), "What color is the star?"}));
    CHECK(expected.reply.reused_tokens > 16);
    Answer<Exact>(second, second.ask({scene(), "What color is the star?"})).require_same(expected);
}

TEST_CASE("what is no word in an answer is saved, and what was broken off is not") {
    const TemporaryFolder folder;
    const auto continues = [&](auto& first, const auto& model, const q::ChatOptions& options) {
        using M = std::decay_t<decltype(model)>;
        first.save(folder.file("chat"));
        q::Chat second(model, options);
        second.restore(folder.file("chat"));
        const Answer<M> expected(first, first.ask("go on"));
        Answer<M>(second, second.ask("go on")).require_same(expected);
    };
    SECTION("pad tokens") {
        const q::ChatOptions options{.max_new_tokens = 5,
                                     .logits_processor = [](std::span<const int>, std::span<float> logits) {
                                         logits[static_cast<std::size_t>(q::models::Tiny::tokens.image)] = 1e9f;
                                     }};
        q::Chat chat(tiny(), options);
        chat.ask({scene(), "hello"});
        continues(chat, tiny(), options);
    }
    const auto broken_off = [&](const auto& model) {
        const q::ChatOptions options{.max_new_tokens = 20};
        q::Chat chat(model, options);
        chat.ask({scene(), "Describe the picture."});
        int pieces = 0;
        CHECK_THROWS_AS(chat.ask("Describe the picture.",
                                 [&](std::string_view) -> bool {
                                     if (++pieces == 2) throw std::runtime_error("enough");
                                     return true;
                                 }),
                        std::runtime_error);
        CHECK(chat.messages().size() == 2);
        continues(chat, model, options);
    };
    SECTION("by an exception") { broken_off(shapes<Exact>()); }
    SECTION("by an exception, in a ring") {
        broken_off(shapes<q::Model<q::models::Shapes, ring_bundle<q::kv_cache::Float32>>>());
    }
}

TEST_CASE("chats that do not fit are refused by name, and nothing changes") {
    const TemporaryFolder folder;
    const q::ChatOptions options{.max_new_tokens = 8};
    q::Chat saved(tiny(), options);
    saved.ask({scene(), "hello"});
    saved.ask({clip(), "hello"});
    saved.save(folder.file("chat"));
    const auto refused = [&](const auto& model, q::ChatOptions chat_options, const char* file, const char* why) {
        using M = std::decay_t<decltype(model)>;
        q::Chat chat(model, chat_options), untouched(model, chat_options);
        chat.ask("a word");
        untouched.ask("a word");
        CHECK_THROWS_WITH(chat.restore(folder.file(file)), contains(folder.file(file)) && contains(why));
        const Answer<M> expected(untouched, untouched.ask("and more"));
        Answer<M>(chat, chat.ask("and more")).require_same(expected);
    };
    q::ChatOptions small = options;
    small.session.context = static_cast<int>(saved.session().length()) - 1;
    refused(tiny(), small, "chat", "the context holds");
    CHECK_THROWS_AS(q::Chat(tiny(), small).restore(folder.file("chat")), q::ContextOverflow);
    refused(tiny(), options, "nothing", "cannot open");
    using OtherCache = q::Model<q::models::Tiny, q::bundles::float32>;
    refused(OtherCache::load(tiny_folder), options, "chat", "another kv_cache");

    q::Session<Tiny> session(tiny(), {.context = 100});
    session.append({{5, 6, 7}, {}});
    session.save(folder.file("session"));
    refused(tiny(), options, "session", "not by a chat");

    // the same weights with a tokenizer in which two letters have each other's numbers
    const auto other = folder.file("tiny");
    std::filesystem::copy(tiny_folder, other);
    auto tokenizer = bytes_of(other + "/tokenizer.json");
    const auto first = tokenizer.find("\"l\":"), second = tokenizer.find("\"m\":");
    REQUIRE(std::max(first, second) != std::string::npos);
    std::swap(tokenizer[first + 1], tokenizer[second + 1]);
    folder.write("tiny/tokenizer.json", tokenizer);
    refused(Tiny::load(other), options, "chat", "another tokenizer");

    CHECK_THROWS_AS(saved.save(folder.file("no/such/folder/chat")), q::FileError);
    q::Chat no_json(tiny(), {.tools = {"{"}});
    CHECK_THROWS_AS(no_json.save(folder.file("chat")), q::PromptError);
    CHECK_NOTHROW(saved.restore(folder.file("chat")));  // the file that was there
}

TEST_CASE("a damaged chat is refused, or can be gone on with, wherever the damage is") {
    const TemporaryFolder folder;
    const q::ChatOptions options{.max_new_tokens = 2, .system = "Be brief.", .session = {.context = 400, .threads = 1}};
    q::Chat chat(tiny(), options), victim(tiny(), options);
    chat.ask({scene(), "hello"});
    chat.ask({clip(), "hello"});
    chat.save(folder.file("chat"));
    victim.ask("a word");
    victim.save(folder.file("victim"));
    const auto before = victim.messages();
    const auto length = victim.session().length();

    const std::string good = bytes_of(folder.file("chat"));
    int taken = 0, refused = 0, wrong = 0;
    std::string expected;  // answer, where it is known
    const auto restore = [&](std::string bytes) {
        const auto sum = q::checksum(std::string_view(bytes.data(), bytes.size() - sizeof(std::uint64_t)));
        std::memcpy(bytes.data() + bytes.size() - sizeof sum, &sum, sizeof sum);
        folder.write("bad", bytes);
        try {
            victim.restore(folder.file("bad"));
        } catch (const q::LoadError& e) {
            ++refused;
            if (std::string(e.what()).find(folder.file("bad")) != 0) FAIL(e.what());
            if (victim.messages() != before || victim.session().length() != length) FAIL("the chat was changed");
            return;
        }
        ++taken;
        const auto reply = victim.ask("and more");
        wrong += !expected.empty() && reply.text != expected;
        victim.restore(folder.file("victim"));
    };
    q::detail::SavedHeader header;
    std::memcpy(static_cast<void*>(&header), good.data(), sizeof header);
    const std::size_t end = good.size() - sizeof(std::uint64_t), begin = end - header.extra;
    const auto features = static_cast<std::size_t>(chat.feature_cache().bytes());
    REQUIRE(features < header.extra);
    SECTION("the session's tokens and pictures: what the conversation does not have is computed anew") {
        victim.restore(folder.file("chat"));
        expected = victim.ask("and more").text;
        REQUIRE(!expected.empty());
        victim.restore(folder.file("victim"));
        const std::size_t tokens = header.length * sizeof(int) + header.pictures * sizeof(q::detail::SavedPicture);
        for (std::size_t at = sizeof header; at < sizeof header + tokens; at += 3) {
            std::string bad = good;
            bad[at] = static_cast<char>(bad[at] ^ 1);
            restore(bad);
        }
        CHECK(refused > 0);
        CHECK(taken > 0);
        CHECK(wrong == 0);
    }
    SECTION("what the chat knows") {
        for (std::size_t at = begin; at < end - features; ++at) {
            std::string bad = good;
            bad[at] = static_cast<char>(bad[at] ^ 1);
            restore(bad);  // a word of an answer that will be computed anew, or a picture's key, may be taken
            bad = good;
            std::fill_n(bad.begin() + static_cast<std::ptrdiff_t>(at), 8, '\xff');
            restore(bad);
        }
        CHECK(refused > taken);
        CHECK(taken > 0);
    }
    SECTION("features and caches hold any values") {
        for (std::size_t at =
                 sizeof header + header.length * sizeof(int) + header.pictures * sizeof(q::detail::SavedPicture);
             at < end; at += 4001) {
            if (at >= begin && at < end - features) continue;
            std::string bad = good;
            std::fill_n(bad.begin() + static_cast<std::ptrdiff_t>(std::min(at, end - 64)), 64, '\xff');
            restore(bad);
        }
        CHECK(refused == 0);
    }
    SECTION("a file that ends anywhere") {
        const auto cut = [&](std::size_t bytes) {
            std::string bad = good.substr(0, end - bytes) + std::string(8, '\0');
            header.extra -= bytes;
            header.bytes -= bytes;
            std::memcpy(bad.data(), static_cast<const void*>(&header), sizeof header);
            header.extra += bytes;
            header.bytes += bytes;
            restore(bad);
        };
        for (std::size_t bytes = 1; bytes <= header.extra; bytes += bytes < 16 || bytes > features ? 1 : 997)
            cut(bytes);
        CHECK(taken == 0);
    }
}

}  // namespace saved_chat_test
