#include <random>
#include <thread>

#include "catch.hpp"
#include "small_vocabulary.hpp"
#include "temporary_folder.hpp"

namespace matcher_test {

using namespace small_vocabulary;
namespace c = q::constrain;

TEST_CASE("code points are cut into exact UTF-8 sequences") {
    std::mt19937 random(1);
    for (int round = 0; round < 300; ++round) {
        const auto point = [&] {
            const char32_t limits[] = {0x7F, 0x900, 0x11000, 0x10FFFF};
            return static_cast<char32_t>(random() % (limits[random() % 4] + 1));
        };
        char32_t a = point(), b = point();
        if (a > b) std::swap(a, b);
        const auto sequences = c::utf8_sequences(c::CodePointSet({{a, b}}));
        for (int i = 0; i < 20; ++i) {
            const char32_t x = i == 0 ? a : i == 1 ? b : point();
            if (x >= 0xD800 && x <= 0xDFFF) continue;
            std::string text;
            q::tokenizer::append_utf8(text, x);
            int matching = 0;
            for (const auto& s : sequences) {
                bool ok = s.length == text.size();
                for (std::size_t k = 0; ok && k < s.length; ++k) {
                    const auto byte = static_cast<std::uint8_t>(text[k]);
                    ok = byte >= s.bytes[k].first && byte <= s.bytes[k].last;
                }
                matching += ok;
            }
            REQUIRE(matching == (x >= a && x <= b));
        }
    }
}

TEST_CASE("sets of code points are those of their definitions") {
    const c::CodePointSet a({{'a', 'm'}, {'k', 'p'}}), b({{'0', '9'}, {'o', 'z'}});
    CHECK(a.ranges() == std::vector<c::CodePointSet::Range>{{'a', 'p'}});
    CHECK(a.intersected(b).ranges() == std::vector<c::CodePointSet::Range>{{'o', 'p'}});
    CHECK(a.united(b).contains('5'));
    CHECK(!a.complement().contains('b'));
    CHECK(a.complement().complement() == a);
    CHECK(!c::CodePointSet::all().contains(0xD800));
}

TEST_CASE("a mask allows just the tokens whose bytes are allowed one by one") {
    for (
        const char* schema :
        {R"({"type": "string"})", R"({"type": "string", "maxLength": 3})",
         R"({"type": "string", "minLength": 2, "maxLength": 4})",
         R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
         R"({"type": "string", "pattern": "^[^a]*$"})",
         R"({"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#"}}, "required": ["name"]})",
         R"({"anyOf": [{"type": "string", "maxLength": 2}, {"enum": ["the cat", "abc"]}]})", "true"}) {
        const auto grammar = c::json_schema(schema);
        std::mt19937 random(7);
        for (int walk = 0; walk < 6; ++walk) {
            c::Matcher m(grammar, trie());
            std::string text;
            for (int step = 0; step < 25 && !m.finished(); ++step) {
                const auto mask = m.mask();
                std::vector<int> allowed;
                for (int t = 0; t < tokenizer().vocab_size(); ++t) {
                    bool one_by_one = t + 1 < tokenizer().vocab_size();  // the last is added
                    c::Matcher bytes(grammar, trie());
                    for (const char b : text) bytes.accept(static_cast<unsigned char>(b));
                    for (const char b : tokenizer().token_bytes(t)) {
                        one_by_one = one_by_one && bytes.allows(static_cast<unsigned char>(b));
                        if (one_by_one) bytes.accept(static_cast<unsigned char>(b));
                    }
                    INFO(schema << " after " << text << " token " << tokenizer().token_bytes(t));
                    REQUIRE(bit(mask, t) == one_by_one);
                    if (one_by_one) allowed.push_back(t);
                }
                REQUIRE(!allowed.empty());
                const int next = allowed[random() % allowed.size()];
                m.accept(next);
                text += tokenizer().token_bytes(next);
            }
        }
    }
}

TEST_CASE("the turn ends only where the value is complete") {
    const auto grammar = c::json_schema(R"({"enum": ["abc", 12, 1]})");
    const std::vector<int> ends{tokenizer().vocab_size() - 1};
    c::Matcher m(grammar, trie());
    CHECK(!bit(m.mask(ends), ends[0]));
    m.accept('1');
    CHECK(m.complete());
    CHECK(!m.finished());
    CHECK(bit(m.mask(ends), ends[0]));
    CHECK(!bit(m.mask(), ends[0]));
    m.accept('2');
    CHECK(m.finished());
    CHECK(message_of<q::GrammarError>([&] { m.accept('3'); }) == "token 51 is not allowed by the grammar here");
    CHECK(m.complete());
}

TEST_CASE("forced text is found, and cut where a longer token could begin") {
    const auto grammar = c::json_schema(R"({"type": "object", "properties": {"name": {"type": "string"}},
        "required": ["name"], "additionalProperties": false})");
    c::Matcher m(grammar, trie());
    CHECK(m.forced_bytes() == "{\"name\": \"");
    const auto tokens = m.forced_tokens(tokenizer());
    std::string text;
    for (const int t : tokens) text += tokenizer().token_bytes(t);
    CHECK(text == "{\"name\": ");  // an open quote may begin ", " or "}
    CHECK(tokens.size() < text.size());
    for (const int t : tokens) m.accept(t);
    CHECK(m.forced_tokens(tokenizer()).empty());
}

TEST_CASE("bytes without a token are not used") {
    const auto lacking = make_tokenizer({"abc", "the quick"}, true);
    const auto lacking_trie = std::make_shared<const c::TokenTrie>(lacking);
    c::Matcher m(c::regex("q|abc|xqx"), lacking_trie);
    CHECK(bit(m.mask(), 'a'));
    CHECK(!bit(m.mask(), 'x'));
    CHECK(message_of<q::GrammarError>([&] { c::Matcher none(c::regex("q+"), lacking_trie); }) ==
          "nothing satisfies it: no finite answer is allowed");
}

TEST_CASE("many configurations are forgotten, and masks stay the same") {
    c::JsonOptions few;
    few.limits.configurations = 100;
    const char* schema = R"({"type": "array", "items": {"type": "string", "maxLength": 40}, "maxItems": 9})";
    c::Matcher kept(c::json_schema(schema), trie()), forgetting(c::json_schema(schema, few), trie());
    std::mt19937 random(3);
    for (int step = 0; step < 90 && !kept.finished(); ++step) {
        const auto a = kept.mask(), b = forgetting.mask();
        REQUIRE(std::vector(a.begin(), a.end()) == std::vector(b.begin(), b.end()));
        int token = 0;
        do token = static_cast<int>(random() % static_cast<unsigned>(tokenizer().vocab_size()));
        while (!bit(a, token));
        kept.accept(token);
        forgetting.accept(token);
    }
}

TEST_CASE("threads share a grammar and a trie") {
    const auto grammar = c::json_schema(R"({"type": "array", "items": {"type": "string"}, "minItems": 2})");
    std::vector<std::thread> threads;
    std::vector<std::string> texts(4);
    for (std::size_t i = 0; i < texts.size(); ++i)
        threads.emplace_back([&, i] {
            c::Matcher m(grammar, trie());
            for (const char ch : std::string_view("[\"abc\", \"the cat\"]")) {
                if (!bit(m.mask(), static_cast<unsigned char>(ch))) return;
                m.accept(static_cast<unsigned char>(ch));
                texts[i] += ch;
            }
        });
    for (auto& t : threads) t.join();
    for (const auto& text : texts) CHECK(text == "[\"abc\", \"the cat\"]");
}

}  // namespace matcher_test
