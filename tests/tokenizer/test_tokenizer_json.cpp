#include "catch.hpp"

#include <functional>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

using namespace qwen3vl;
using nlohmann::json;
using tokenizer::Tokenizer;

namespace tokenizer_json_test {

const std::string& tiny_text() {
    static const std::string text = read_file(test_data("/tiny/tokenizer.json"));
    return text;
}
json tiny() { return json::parse(tiny_text()); }
Tokenizer load(const json& file) { return Tokenizer::from_json(file.dump(), "tokenizer.json"); }

/// The error of the tiny file after one change.
std::string error(const std::function<void(json&)>& change) {
    json file = tiny();
    change(file);
    try {
        load(file);
    } catch (const TokenizerError& e) {
        return e.what();
    }
    return "no error";
}

TEST_CASE("merges may be spelled in two ways") {
    json file = tiny();
    const Tokenizer pairs = load(file);
    for (auto& merge : file["model"]["merges"]) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    file["model"]["merges"].insert(file["model"]["merges"].begin(), "#version: 0.2");
    const Tokenizer spelled = load(file);
    const std::string text = "Describe the red circle and the blue square in the picture.";
    CHECK(pairs.encode(text) == spelled.encode(text));
    CHECK(pairs.encode(text).size() < text.size() / 2);
    CHECK(pairs.vocab_size() == 464 - 2);
}

TEST_CASE("what is not supported is refused by name") {
    using Catch::Contains;
    CHECK_THAT(error([](json& f) { f["model"]["type"] = "Unigram"; }), Contains("model.type") && Contains("Unigram"));
    CHECK_THAT(error([](json& f) { f["model"]["dropout"] = 0.1; }), Contains("model.dropout"));
    CHECK_THAT(error([](json& f) { f["model"]["byte_fallback"] = true; }), Contains("byte_fallback"));
    CHECK_THAT(error([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }),
               Contains("end_of_word_suffix") && Contains("</w>"));
    CHECK_THAT(error([](json& f) { f["model"]["continuing_subword_prefix"] = "##"; }),
               Contains("continuing_subword_prefix"));
    CHECK_THAT(error([](json& f) { f["normalizer"]["type"] = "Lowercase"; }),
               Contains("normalizer.type") && Contains("Lowercase"));
    CHECK_THAT(
        error([](json& f) {
            f["normalizer"] = json{{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "NFKC"}}}}};
        }),
        Contains("normalizer.normalizers[1].type"));
    CHECK_THAT(error([](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["type"] = "Metaspace"; }),
               Contains("pre_tokenizer.pretokenizers[0].type") && Contains("Metaspace"));
    CHECK_THAT(error([](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }),
               Contains("behavior"));
    CHECK_THAT(error([](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["invert"] = true; }), Contains("invert"));
    CHECK_THAT(error([](json& f) { f["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }),
               Contains("add_prefix_space"));
    CHECK_THAT(error([](json& f) { f["pre_tokenizer"]["pretokenizers"].erase(1); }), Contains("ByteLevel"));
    CHECK_THAT(error([](json& f) { f["pre_tokenizer"] = nullptr; }), Contains("pre_tokenizer"));
    CHECK_THAT(error([](json& f) { f["decoder"]["type"] = "WordPiece"; }),
               Contains("decoder.type") && Contains("WordPiece"));
    CHECK_THAT(error([](json& f) {
                   f["post_processor"] = json{{"type", "TemplateProcessing"}};
               }),
               Contains("post_processor.type"));
    CHECK_THAT(error([](json& f) { f["truncation"] = json{{"max_length", 8}}; }), Contains("truncation"));
    CHECK_THAT(error([](json& f) { f["padding"] = json{{"strategy", "BatchLongest"}}; }), Contains("padding"));
    for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
        CHECK_THAT(error([&](json& f) { f["added_tokens"][3][flag] = true; }),
                   Contains("added_tokens[3]") && Contains(flag));
    }
}

TEST_CASE("hostile vocabularies, merges and added tokens are refused") {
    using Catch::Contains;
    CHECK_THAT(error([](json& f) { f["model"]["vocab"]["st"] = 3; }), Contains("same id 3"));
    CHECK_THAT(error([](json& f) { f["model"]["vocab"]["st"] = -1; }), Contains("model.vocab"));
    CHECK_THAT(error([](json& f) { f["model"]["vocab"]["st"] = 4294967296 + 5; }), Contains("31 bits"));
    CHECK_THAT(error([](json& f) { f["model"]["vocab"]["st"] = 2000000000; }), Contains("2000000000"));
    CHECK_THAT(error([](json& f) { f["model"]["vocab"]["st"] = 1.5; }), Contains("model.vocab") && Contains("'st'"));
    CHECK_THAT(error([](json& f) { f["model"]["vocab"]["st"] = json::array(); }), Contains("model.vocab"));
    CHECK_THAT(error([](json& f) { f["model"]["vocab"] = "none"; }), Contains("model.vocab"));
    CHECK_THAT(error([](json& f) {
                   f["model"].update({{"vocab", json::object()}, {"merges", json::array()}});
               }),
               Contains("byte 0"));
    CHECK_THAT(error([](json& f) { f["model"]["vocab"].erase("a"); }), Contains("byte 97") || Contains("'a'"));
    CHECK_THAT(error([](json& f) { f["model"]["vocab"]["two words"] = 470; }), Contains("byte-level alphabet"));
    CHECK_THAT(error([](json& f) { f["model"].erase("vocab"); }), Contains("model.vocab"));
    CHECK_THAT(error([](json& f) { f["model"].erase("merges"); }), Contains("model.merges"));
    CHECK_THAT(error([](json& f) {
                   f["model"]["merges"][7] = {"a", "nothing"};
               }),
               Contains("model.merges[7]") && Contains("nothing"));
    CHECK_THAT(error([](json& f) {
                   f["model"]["merges"][7] = {"q", "q"};
               }),
               Contains("model.merges[7]") && Contains("'qq'"));
    CHECK_THAT(error([](json& f) { f["model"]["merges"][7] = {"a"}; }), Contains("model.merges"));
    CHECK_THAT(error([](json& f) { f["model"]["merges"][7] = {"a", "b", "c"}; }), Contains("model.merges"));
    CHECK_THAT(error([](json& f) { f["model"]["merges"][7] = {"a", 3}; }), Contains("model.merges"));
    CHECK_THAT(error([](json& f) { f["model"]["merges"][7] = 3; }), Contains("model.merges"));
    CHECK_THAT(error([](json& f) { f["model"]["merges"][7] = "a b c"; }), Contains("a b c"));
    CHECK_THAT(error([](json& f) { f["added_tokens"][1]["id"] = 448; }), Contains("same id 448"));
    CHECK_THAT(error([](json& f) { f["added_tokens"][1]["id"] = 10; }), Contains("same id 10"));
    CHECK_THAT(error([](json& f) { f["added_tokens"][1]["id"] = "one"; }), Contains("added_tokens[1].id"));
    CHECK_THAT(error([](json& f) { f["added_tokens"][1]["id"] = -449; }), Contains("added_tokens[1].id"));
    CHECK_THAT(error([](json& f) { f["added_tokens"][1]["content"] = "<|endoftext|>"; }), Contains("twice"));
    CHECK_THAT(error([](json& f) { f["added_tokens"][1]["content"] = ""; }), Contains("added_tokens[1].content"));
    CHECK_THAT(error([](json& f) { f["added_tokens"][1]["content"] = std::string(5000, 'a'); }),
               Contains("added_tokens[1].content"));
    CHECK_THAT(error([](json& f) { f["added_tokens"][1] = 5; }), Contains("added_tokens[1]"));
    CHECK_THAT(error([](json& f) { f["added_tokens"] = json::object(); }), Contains("added_tokens"));
    CHECK_THAT(error([](json& f) {
                   f["added_tokens"][1] = json{{"content", "st"}, {"id", f["model"]["vocab"]["st"]}, {"special", true}};
               }),
               Contains("'st'"));
    CHECK_THAT(error([](json& f) {
                   f["added_tokens"][1] = json{{"content", "st"}, {"id", 470}, {"special", true}};
               }),
               Contains("'st'"));
    CHECK_THAT(error([](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "("; }),
               Contains("pattern.Regex") && Contains("regular expression"));
    CHECK_THAT(error([](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"] = 5; }), Contains("pattern"));
    CHECK_THAT(
        error([](json& f) { f["pre_tokenizer"]["pretokenizers"] = json(100, f["pre_tokenizer"]["pretokenizers"][0]); }),
        Contains("at most"));
    CHECK_THAT(error([](json& f) { f = json::array(); }), Contains("tokenizer.json"));
}

TEST_CASE("damaged JSON is refused") {
    const auto fails = [](const std::string& text) {
        CHECK_THROWS_AS(Tokenizer::from_json(text, "tokenizer.json"), TokenizerError);
    };
    for (std::size_t end = 0; end < tiny_text().size(); end += 97) fails(tiny_text().substr(0, end));
    fails("");
    fails("null");
    fails("\"text\"");
    fails(std::string(100'000, '['));
    std::string nested = R"({"model":)";
    for (int i = 0; i < 100'000; ++i) nested += R"({"a":)";
    fails(nested);
    fails(R"({"model": {"vocab": {}, "merges": [], "vocab": {}}})");
    fails(R"({"version": 1, "version": 2})");
    fails("{\"\xFF\": 1}");
    std::mt19937 random(1);
    int loaded = 0;
    for (int round = 0; round < 300; ++round) {
        std::string text = tiny_text();
        for (int change = 0; change < 3; ++change) text[random() % text.size()] = "\"{}[],:0a \\"[random() % 11];
        try {
            const auto tokenizer = Tokenizer::from_json(text, "tokenizer.json");
            CHECK(tokenizer.vocab_size() > 0);
            ++loaded;
        } catch (const TokenizerError&) {
        }
    }
    CHECK(loaded < 300);
}

TEST_CASE("a catastrophic expression in the file ends in an error, never in other tokens") {
    json file = tiny();
    file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+$";
    const Tokenizer tokenizer = load(file);
    CHECK(tokenizer.decode(tokenizer.encode("aaa")) == "aaa");
    CHECK_THROWS_WITH(tokenizer.encode(std::string(4000, 'a') + "b"), Catch::Contains("pattern.Regex"));
}

TEST_CASE("ids may leave holes") {
    json file = tiny();
    file["added_tokens"][0]["id"] = 1000;
    const Tokenizer tokenizer = load(file);
    CHECK(tokenizer.vocab_size() == 1001);
    CHECK(tokenizer.token_bytes(1000) == "<|endoftext|>");
    CHECK_FALSE(tokenizer.has_token(999));
    CHECK_THROWS_AS(tokenizer.token_bytes(999), TokenizerError);
}

TEST_CASE("added tokens: the longest, in the text as given or in its NFC") {
    json file = tiny();
    const auto add = [&](const char* content, int id, bool normalized) {
        file["added_tokens"].push_back(
            {{"content", content}, {"id", id}, {"special", false}, {"normalized", normalized}});
    };
    add("<a>", 500, false);
    add("<a>b", 501, false);
    add("e\xCC\x81", 502, true);   // decomposed
    add("o\xCC\x88", 503, false);  // as given
    const Tokenizer t = load(file);
    const tokenizer::EncodeOptions parse{.parse_special = true};
    CHECK(t.encode("<a>b", parse) == std::vector<int>{501});
    CHECK(t.encode("<a><a>b<a", parse).size() == 4);
    CHECK(t.encode("\xC3\xA9", parse) == std::vector<int>{502});
    CHECK(t.encode("e\xCC\x81", parse) == std::vector<int>{502});
    CHECK(t.encode("o\xCC\x88", parse) == std::vector<int>{503});
    CHECK(t.encode("\xC3\xB6", parse).size() == 2);
    CHECK(t.encode("<a>").size() == 3);
}

TEST_CASE("whole pieces before merges, where the file asks for it") {
    json file = tiny();
    file["model"]["vocab"]["zqx"] = 470;  // no merge makes it
    CHECK(load(file).encode("zqx").size() == 3);
    file["model"]["ignore_merges"] = true;
    CHECK(load(file).encode("zqx") == std::vector<int>{470});
    file["added_tokens"].push_back({{"content", "zqx"}, {"id", 470}, {"special", true}});
    CHECK(load(file).encode("zqx").size() == 3);  // a control token never comes out of plain text
}

TEST_CASE("the pre-tokenizers of GPT-2 and its descendants") {
    json file = tiny();
    file["pre_tokenizer"] = json{{"type", "Sequence"},
                                 {"pretokenizers",
                                  {{{"type", "Digits"}, {"individual_digits", true}},
                                   {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}};
    file["normalizer"] = nullptr;
    const Tokenizer t = load(file);
    CHECK(t.decode(t.encode("it's 12 e\xCC\x81")) == "it's 12 e\xCC\x81");
    file["pre_tokenizer"] = json{{"type", "ByteLevel"}, {"add_prefix_space", false}};
    CHECK(load(file).encode("the red") == t.encode("the red"));
}

}  // namespace tokenizer_json_test
