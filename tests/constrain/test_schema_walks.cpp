#include <random>

#include "catch.hpp"
#include "small_vocabulary.hpp"
#include "validator.hpp"

namespace schema_walks_test {

using namespace small_vocabulary;
namespace c = q::constrain;

const char* const schemas[] = {
    "true",
    R"({"type": "object"})",
    R"({"type": "array", "minItems": 1, "maxItems": 4, "items": {"type": ["integer", "null", "string"]}})",
    R"({"type": "integer", "minimum": -105, "maximum": 2040})",
    R"({"type": "number", "exclusiveMinimum": -1.5, "maximum": 33.25})",
    R"({"type": "integer", "multipleOf": 12})",
    R"({"type": "string", "minLength": 3, "maxLength": 9})",
    R"({"type": "string", "pattern": "^[a-f]+(-[0-9]{2}){1,3}$"})",
    R"({"type": "string", "pattern": "abc", "maxLength": 20})",
    R"({"enum": ["abc", "the cat", 1.5, null, {"name": [1, true]}]})",
    R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "next": {"type": "integer"}, "x": {"type": "boolean"}}, "required": ["next"]})",
    R"({"type": "object", "properties": {"name": {"const": 1}}, "additionalProperties": {"type": "boolean"}, "maxProperties": 3})",
    R"({"type": "object", "patternProperties": {"^n": {"type": "integer"}, "e$": {"type": "integer", "minimum": 5}}, "additionalProperties": false, "minProperties": 1})",
    R"({"type": "object", "propertyNames": {"pattern": "^[a-c]{1,3}$"}, "additionalProperties": {"type": "null"}})",
    R"({"type": "object", "properties": {"v": {"type": "integer", "minimum": 0, "maximum": 9}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["v", "next"], "additionalProperties": false})",
    R"({"$defs": {"tree": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 2}, "next": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}}, "required": ["name", "next"], "additionalProperties": false}}, "$ref": "#/$defs/tree"})",
    R"({"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}, "x": {"type": "integer"}}, "required": ["k", "x"], "additionalProperties": false}, {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"], "additionalProperties": false}, {"type": "integer"}]})",
    R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}, "a": {"maximum": 50}}}]})",
    R"({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "string", "pattern": "^abc*$"}, {"type": "array", "items": {"const": 1}, "minItems": 2}]})",
    R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}, "minItems": 3, "maxItems": 5})",
};

/// An answer of random allowed tokens; towards the end those that close something, so that it comes to one.
std::string walk(const c::Grammar& grammar, std::mt19937& random, bool& ended) {
    c::Matcher m(grammar, trie());
    std::string text;
    for (int step = 0; step < 400; ++step) {
        if (m.finished() || (m.complete() && random() % 4 == 0)) {
            ended = true;
            return text;
        }
        const auto mask = m.mask();
        std::vector<int> allowed;
        for (int t = 0; t < tokenizer().vocab_size(); ++t)
            if (bit(mask, t)) allowed.push_back(t);
        REQUIRE((!allowed.empty() || m.complete()));
        if (allowed.empty()) continue;
        int next = allowed[random() % allowed.size()];
        if (step > 40) {
            std::string closing;
            for (const char ch : std::string_view("bnulce\"]}"))
                if (bit(mask, static_cast<unsigned char>(ch))) closing += ch;
            if (!closing.empty())
                next = static_cast<unsigned char>(random() % 2 ? closing.back() : closing[random() % closing.size()]);
        }
        m.accept(next);
        text += tokenizer().token_bytes(next);
        for (const int forced : m.forced_tokens(tokenizer())) {
            m.accept(forced);
            text += tokenizer().token_bytes(forced);
        }
    }
    return text;
}

TEST_CASE("answers of random tokens never come to a dead end, and are valid") {
    int walks = 0, ends = 0;
    for (const char* schema : schemas)
        for (const auto space : {c::JsonSpace::spaced, c::JsonSpace::free}) {
            const auto grammar = c::json_schema(schema, {.space = space});
            const auto parsed = nlohmann::json::parse(schema);
            std::mt19937 random(11);
            for (int i = 0; i < 12; ++i, ++walks) {
                bool ended = false;
                const std::string text = walk(grammar, random, ended);
                ends += ended;
                if (!ended) continue;
                INFO(schema << " answered by " << text);
                const auto value = nlohmann::json::parse(text, nullptr, false);
                REQUIRE(!value.is_discarded());
                REQUIRE(validator::valid(value, parsed, parsed));
            }
        }
    CHECK(ends > walks * 9 / 10);  // what is closed at every turn ends but for chance
}

TEST_CASE("the validator of these tests knows valid from invalid") {
    const auto valid = [](const char* value, const char* schema) {
        const auto s = nlohmann::json::parse(schema);
        return validator::valid(nlohmann::json::parse(value), s, s);
    };
    CHECK(valid("[1, \"a\", null]", schemas[19]));
    CHECK(!valid("[1, \"a\"]", schemas[19]));
    CHECK(!valid("[1, 2, null]", schemas[19]));
    CHECK(!valid("13", schemas[5]));
    CHECK(!valid("{\"name\": 2}", schemas[11]));
    CHECK(!valid("{\"k\": \"b\", \"x\": 1}", schemas[16]));
    CHECK(!valid("\"abd\"", schemas[18]));
}

}  // namespace schema_walks_test
