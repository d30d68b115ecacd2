#include "catch.hpp"
#include "small_vocabulary.hpp"
#include "temporary_folder.hpp"

namespace json_schema_test {

using namespace small_vocabulary;
namespace c = q::constrain;

struct Row {
    const char* schema;
    std::vector<const char*> accepted, refused;
};

void check(const std::vector<Row>& rows, const c::JsonOptions& options = {}) {
    for (const auto& [schema, accepted, refused] : rows) {
        INFO(schema);
        const auto grammar = c::json_schema(schema, options);
        for (const char* text : accepted) {
            INFO("accepts " << text);
            CHECK(accepts(grammar, text));
        }
        for (const char* text : refused) {
            INFO("refuses " << text);
            CHECK(!accepts(grammar, text));
        }
    }
}

TEST_CASE("types") {
    check({
        {"true",
         {"null", "true", "0", "\"\"", "[]", "{}", "[{\"a\": [1, null]}, \"b\"]"},
         {"", "nul", "[1,]", "{\"a\"}", "[1 2]"}},
        {"{}", {"1", "[[], {}]"}, {"]"}},
        {R"({"type": "null"})", {"null"}, {"true", "0"}},
        {R"({"type": "boolean"})", {"true", "false"}, {"null", "tru", "truee"}},
        {R"({"type": ["string", "null"]})", {"null", "\"a\""}, {"1"}},
        {R"({"type": "string", "nullable": true})", {"null", "\"a\""}, {"true"}},
        {R"({"type": ["integer", "boolean"]})", {"7", "false"}, {"7.5", "\"a\""}},
        {R"({"type": ["integer", "number"]})", {"7", "7.5"}, {"\"a\""}},
        {R"({"title": "t", "description": "d", "default": 1, "examples": [], "unknown": 5, "type": "null"})",
         {"null"},
         {"1"}},
    });
}

TEST_CASE("numbers and their bounds") {
    check({
        {R"({"type": "integer"})",
         {"0", "-1", "12345678901234567890"},
         {"-", "01", "-0", "1.0", "1e3", "+1", "123456789012345678901"}},
        {R"({"type": "number"})", {"0", "-1.5", "1e10", "2.5E-3", "-0"}, {".5", "1.", "1e", "1e100", "--1"}},
        {R"({"type": "integer", "minimum": 3, "maximum": 12})",
         {"3", "9", "10", "12"},
         {"2", "13", "1", "-3", "30", "03"}},
        {R"({"type": "integer", "minimum": -12, "maximum": 5})",
         {"-12", "-1", "0", "5", "-9"},
         {"-13", "6", "-0", "-20"}},
        {R"({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3})", {"1", "2"}, {"0", "3", "-1"}},
        {R"({"type": "integer", "minimum": 0.5, "maximum": 2.5})", {"1", "2"}, {"0", "3"}},
        {R"({"type": "integer", "minimum": 1e3})", {"1000", "99999"}, {"999", "-1000"}},
        {R"({"type": "integer", "maximum": -5})", {"-5", "-10", "-99"}, {"-4", "0", "5"}},
        {R"({"type": "integer", "minimum": 98765432109876543210987})",
         {"98765432109876543210987", "987654321098765432109870"},
         {"98765432109876543210986", "0"}},
        {R"({"type": "integer", "minimum": 9223372036854775806, "maximum": 9223372036854775807})",
         {"9223372036854775806", "9223372036854775807"},
         {"9223372036854775805", "9223372036854775808"}},
        {R"({"type": "integer", "minimum": 5, "exclusiveMinimum": true})", {"6"}, {"5"}},
        {R"({"type": "number", "minimum": 0, "maximum": 1})",
         {"0", "1", "0.5", "1.000", "0.0"},
         {"-0.1", "1.01", "2", "1e-1", "-0"}},
        {R"({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})",
         {"0.001", "0.99"},
         {"0", "1", "0.0", "1.0"}},
        {R"({"type": "number", "minimum": -1.25, "exclusiveMaximum": 10.5})",
         {"-1.25", "-1.2499", "-1", "0", "10.4999", "9"},
         {"-1.251", "-2", "10.5", "10.51", "11"}},
        {R"({"type": "number", "minimum": 1.5})", {"1.5", "1.51", "2", "10", "150"}, {"1.49", "1", "0", "-2", "1.0"}},
        {R"({"type": "number", "maximum": 1.7976931348623157e308})", {"3.5", "-2"}, {"1e5"}},
        {R"({"type": "number", "minimum": 0})",
         {"123456789012345", "1.23456789012345"},
         {"1234567890123456", "1.234567890123456"}},
        {R"({"type": "integer", "multipleOf": 7})", {"0", "7", "-14", "700"}, {"1", "-8", "71"}},
        {R"({"type": "number", "multipleOf": 5, "minimum": 11, "maximum": 30})",
         {"15", "30"},
         {"10", "12", "35", "15.0"}},
        {R"({"allOf": [{"multipleOf": 4}, {"multipleOf": 6}], "type": "integer"})",
         {"12", "0", "-24"},
         {"4", "6", "18"}},
        {R"({"minimum": 5, "type": ["integer", "string"]})", {"5", "\"a\""}, {"4"}},
    });
}

TEST_CASE("strings") {
    check({
        {R"({"type": "string"})",
         {R"("")", R"("a\n\"\\\/\u00e9\ud83d\ude00")", "\"\xF0\x9F\x98\x80\x7F\""},
         {"\"", "\"\n\"", R"("\x")", R"("\ud83d")", R"("\ude00")", R"("\u12")", "\"\x80\"", "\"\xED\xA0\x80\""}},
        {R"({"type": "string", "minLength": 2, "maxLength": 3})",
         {R"("ab")", R"("abc")", "\"\xE2\x82\xAC\xF0\x9F\x98\x80\"", R"("\n\u00e9")", R"("\ud83d\ude00x")"},
         {R"("a")", R"("abcd")", R"("\n")", R"("\ud83d\ude00")"}},
        {R"({"type": "string", "maxLength": 0})", {R"("")"}, {R"("a")"}},
        {R"({"type": "string", "maxLength": 100000})", {R"("abc")"}, {"1"}},
        {R"({"type": "string", "pattern": "^[a-c]+$"})", {R"("abc")"}, {R"("")", R"("abd")", R"("\u0061")"}},
        {R"({"type": "string", "pattern": "b"})", {R"("b")", R"("abc")", R"("x\\yb\n\u0061")"}, {R"("")", R"("ac")"}},
        {R"({"type": "string", "pattern": "^\\S+\"\\\\$"})", {R"("a\"\\")"}, {R"("a\\")"}},
        {R"({"type": "string", "pattern": "^\\n$"})", {R"("\n")"}, {R"("\u000a")", R"("n")"}},
        {R"({"type": "string", "pattern": "^a|b$"})", {R"("axx")", R"("xxb")"}, {R"("xax")"}},
        {R"({"type": "string", "pattern": "^x*$", "minLength": 2, "maxLength": 3})",
         {R"("xx")", R"("xxx")"},
         {R"("x")", R"("xxxx")"}},
        {R"({"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "z$"}]})",
         {R"("az")", R"("abcz")"},
         {R"("a")", R"("z")"}},
        {R"({"type": "string", "format": "date"})",
         {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
         {R"("2023-02-29")", R"("1900-02-29")", R"("0000-01-01")", R"("2024-13-01")", R"("2024-04-31")",
          R"("24-01-01")"}},
        {R"({"type": "string", "format": "time"})",
         {R"("23:59:59Z")", R"("00:00:00.123+14:00")"},
         {R"("24:00:00Z")", R"("12:00Z")", R"("12:00:00")"}},
        {R"({"type": "string", "format": "date-time"})",
         {R"("2026-11-29T18:15:00Z")", R"("2026-11-29T18:15:00.5-07:30")"},
         {R"("2026-11-29")", R"("2026-11-29 18:15:00Z")", R"("2026-02-30T00:00:00Z")"}},
        {R"({"type": "string", "format": "email"})",
         {R"("a.b+c@example.org")"},
         {R"("a@")", R"("@b")", R"("a b@c.d")", R"("a..b@c.d")"}},
        {R"({"type": "string", "format": "uuid"})",
         {R"("123e4567-e89b-12d3-a456-426614174000")"},
         {R"("123e4567e89b12d3a456426614174000")", R"("123e4567-e89b-12d3-a456-42661417400g")"}},
        {R"({"type": "string", "format": "ipv4"})",
         {R"("192.168.0.1")", R"("255.255.255.255")"},
         {R"("256.1.1.1")", R"("1.2.3")", R"("01.2.3.4")"}},
        {R"({"type": "string", "format": "ipv6"})",
         {R"("::1")", R"("2001:db8::8a2e:370:7334")", R"("::")"},
         {R"("1::2::3")", R"("12345::")"}},
        {R"({"type": "string", "format": "hostname"})", {R"("a-b.example.org")"}, {R"("-a")", R"("a..b")", R"("a_b")"}},
        {R"({"type": "string", "format": "uri"})",
         {R"("https://user@example.org:80/a/b%20c?d=e#f")", R"("mailto:a@b.c")", R"("urn:x:y")"},
         {R"("example.org")", R"("http://a b")", R"("http://a%2")"}},
        {R"({"type": "string", "format": "duration"})",
         {R"("P1Y2M3DT4H5M6S")", R"("PT5M")", R"("P2W")"},
         {R"("P")", R"("P1DT")", R"("1D")"}},
        {R"({"type": "string", "format": "json-pointer"})", {R"("/a/b~1c")", R"("")"}, {R"("a")", R"("/~2")"}},
        {R"({"type": "string", "format": "of-our-own"})", {R"("anything")"}, {"1"}},
        {R"({"type": "string", "format": "uuid", "pattern": "^1"})",
         {R"("123e4567-e89b-12d3-a456-426614174000")"},
         {R"("223e4567-e89b-12d3-a456-426614174000")"}},
        {R"({"pattern": "^a$"})", {R"("a")", "7", "[]"}, {R"("b")"}},
    });
}

TEST_CASE("values that are listed") {
    check({
        {R"({"enum": ["a", 1, null, true, [1, "b"], {"k": {}}]})",
         {R"("a")", "1", "null", "true", R"([1, "b"])", R"({"k": {}})"},
         {R"("b")", "2", "false", "[1]", "{}"}},
        {R"({"const": "\u00e9\n\""})", {"\"\xC3\xA9\\n\\\"\""}, {R"("e")"}},
        {R"({"enum": ["a", 1, 2.5], "type": "number"})", {"1", "2.5"}, {R"("a")"}},
        {R"({"enum": [1, 5, 9], "minimum": 3, "maximum": 8})", {"5"}, {"1", "9"}},
        {R"({"enum": ["ab", "abc", "x"], "minLength": 2, "pattern": "^a"})", {R"("ab")", R"("abc")"}, {R"("x")"}},
        {R"({"enum": [1, 2], "const": 1.0})", {"1"}, {"2"}},
        {R"({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}]})", {"2", "3"}, {"1", "4"}},
        {R"({"enum": [[1, 2], [1]], "maxItems": 1})", {"[1]"}, {"[1, 2]"}},
        {R"({"enum": [{"a": 1, "b": 2}, {"a": 3}], "required": ["b"]})", {R"({"a": 1, "b": 2})"}, {R"({"a": 3})"}},
    });
}

TEST_CASE("arrays") {
    check({
        {R"({"type": "array"})", {"[]", "[1, [2], \"a\"]"}, {"[1,2]", "[", "[1, ]"}},
        {R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3})",
         {"[1, 2]", "[1, 2, 3]"},
         {"[]", "[1]", "[1, 2, 3, 4]", "[1, \"a\"]"}},
        {R"({"type": "array", "items": {"const": 1}, "maxItems": 1})", {"[]", "[1]"}, {"[1, 1]", "[2]"}},
        {R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"}},
        {R"({"type": "array", "items": {"const": 1}, "minItems": 3})", {"[1, 1, 1]", "[1, 1, 1, 1, 1]"}, {"[1, 1]"}},
        {R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}})",
         {"[]", "[1]", "[1, 2]", "[1, 2, 3, 3]"},
         {"[2]", "[1, 3]", "[1, 2, 1]"}},
        {R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": false, "minItems": 2})",
         {"[1, 2]"},
         {"[1]", "[1, 2, 3]"}},
        {R"({"type": "array", "items": [{"const": 1}], "additionalItems": {"const": 9}})",
         {"[1, 9]", "[]"},
         {"[1, 1]"}},
        {R"({"type": "array", "items": false})", {"[]"}, {"[1]"}},
        {R"({"type": "array", "uniqueItems": true, "maxItems": 1})", {"[5]"}, {"[5, 5]"}},
        {R"({"type": "array", "uniqueItems": false, "items": {"type": "null"}})", {"[null, null]"}, {"[1]"}},
        {R"({"type": "array", "allOf": [{"items": {"minimum": 3}}, {"items": {"type": "integer", "maximum": 5}}]})",
         {"[3, 5]"},
         {"[2]", "[6]"}},
        {R"({"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}})",
         {"[[], [true, false]]"},
         {"[true]"}},
        {R"({"type": "array", "items": {"const": 1}, "minItems": 998, "maxItems": 1000})", {}, {"[1, 1]"}},
    });
    const auto many = c::json_schema(R"({"type": "array", "items": {"const": 1}, "minItems": 998, "maxItems": 1000})");
    for (const int n : {997, 998, 1000, 1001}) {
        std::string text = "[1";
        for (int i = 1; i < n; ++i) text += ", 1";
        CHECK(accepts(many, text + "]") == (n >= 998 && n <= 1000));
    }
}

TEST_CASE("objects") {
    check({
        {R"({"type": "object"})",
         {"{}", R"({"a": 1, "b": {"c": []}})", R"({"a": 1, "a": 2})"},
         {R"({a: 1})", R"({"a":1})"}},
        {R"({"type": "object", "properties": {"b": {"const": 1}, "a": {"const": 2}}, "additionalProperties": false})",
         {"{}", R"({"b": 1})", R"({"a": 2})", R"({"b": 1, "a": 2})"},
         {R"({"a": 2, "b": 1})", R"({"c": 1})", R"({"b": 2})", R"({"b": 1, "b": 1})"}},
        {R"({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"], "additionalProperties": false})",
         {R"({"b": 1})", R"({"a": 1, "b": 2})"},
         {"{}", R"({"a": 1})"}},
        {R"({"type": "object", "properties": {"a": {"const": 1}}})",
         {"{}", R"({"a": 1})", R"({"a": 1, "b": 2})", R"({"b": 2})", R"({"aa": 2, "b\u0061": 3, "": 4})"},
         {R"({"a": 2})", R"({"\u0061": 2})", R"({"\u0061b": 2})", R"({"b": 2, "a": 2})", R"({"b": 1, "a": 1})"}},
        {R"({"type": "object", "additionalProperties": {"type": "integer"}})",
         {"{}", R"({"x": 1, "y": 2})"},
         {R"({"x": "a"})"}},
        {R"({"type": "object", "required": ["x", "y"]})",
         {R"({"x": 1, "y": 2})", R"({"x": 1, "y": 2, "z": 3})"},
         {R"({"x": 1})", "{}"}},
        {R"({"type": "object", "required": ["x"], "additionalProperties": {"const": 1}})",
         {R"({"x": 1})"},
         {R"({"x": 2})"}},
        {R"({"type": "object", "properties": {"a": false, "b": true}})",
         {"{}", R"({"b": 1})", R"({"c": 1})"},
         {R"({"a": 1})"}},
        {R"({"type": "object", "patternProperties": {"^n_": {"type": "integer"}, "^s": {"type": "string"}}, "additionalProperties": false})",
         {"{}", R"({"n_x": 1, "s": "a"})"},
         {R"({"n_x": "a"})", R"({"t": 1})", R"({"n": 1})"}},
        {R"({"type": "object", "properties": {"ab": {"minimum": 5}}, "patternProperties": {"^a": {"type": "integer"}, "b$": {"maximum": 9}}})",
         {R"({"ab": 7})", R"({"ab": 7, "a": 1, "xb": 9, "z": null})", R"({"axb": 9})"},
         {R"({"ab": 4})", R"({"ab": "x"})", R"({"axb": 10})", R"({"axb": 1.5})", R"({"a": null})"}},
        {R"({"type": "object", "propertyNames": {"pattern": "^[a-z]+$", "maxLength": 3}})",
         {"{}", R"({"abc": 1})"},
         {R"({"abcd": 1})", R"({"A": 1})"}},
        {R"({"type": "object", "propertyNames": {"enum": ["p", "q"]}, "additionalProperties": {"const": 1}})",
         {R"({"p": 1, "q": 1})"},
         {R"({"r": 1})"}},
        {R"({"type": "object", "properties": {"a": {}, "b": {}}, "propertyNames": {"const": "b"}})",
         {"{}", R"({"b": 1})"},
         {R"({"a": 1})"}},
        {R"({"type": "object", "maxProperties": 2, "additionalProperties": {"const": 1}})",
         {"{}", R"({"a": 1, "b": 1})"},
         {R"({"a": 1, "b": 1, "c": 1})"}},
        {R"({"type": "object", "minProperties": 1})", {R"({"a": 1})", R"({"a": 1, "b": 1})"}, {"{}"}},
        {R"({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "additionalProperties": false, "minProperties": 2})",
         {R"({"a": 1, "c": 1})", R"({"a": 1, "b": 1, "c": 1})"},
         {"{}", R"({"b": 1})"}},
        {R"({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "additionalProperties": false, "maxProperties": 1})",
         {"{}", R"({"c": 1})"},
         {R"({"a": 1, "c": 1})"}},
        {R"({"type": "object", "properties": {"a": {}}, "minProperties": 2, "maxProperties": 3})",
         {R"({"a": 1, "b": 1})", R"({"a": 1, "b": 1, "c": 1})"},
         {R"({"a": 1})", R"({"a": 1, "b": 1, "c": 1, "d": 1})", R"({"b": 1, "c": 1})"}},
        {R"({"type": "object", "properties": {"q\"\n\u00e9": {"const": 1}}, "required": ["q\"\n\u00e9"], "additionalProperties": false})",
         {"{\"q\\\"\\n\xC3\xA9\": 1}"},
         {"{}"}},
        {R"({"properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": false})",
         {R"({"a": 1})", "7", "\"x\""},
         {"{}"}},
    });
}

TEST_CASE("schemas that combine others") {
    check({
        {R"({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "integer"}, {"const": "long"}]})",
         {R"("ab")", "5", R"("long")"},
         {R"("abc")", "null"}},
        {R"({"type": "integer", "anyOf": [{"maximum": 3}, {"minimum": 7}]})", {"3", "7"}, {"5"}},
        {R"({"oneOf": [{"type": "string"}, {"type": "null"}]})", {R"("a")", "null"}, {"1"}},
        {R"({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 4}]})", {"3", "4"}, {}},
        {R"({"oneOf": [{"properties": {"k": {"const": "a"}, "x": {"type": "integer"}}, "required": ["k", "x"]}, {"properties": {"k": {"const": "b"}}, "required": ["k"]}], "type": "object"})",
         {R"({"k": "a", "x": 1})", R"({"k": "b"})"},
         {R"({"k": "a"})", R"({"k": "c"})"}},
        {R"({"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"}]})",
         {R"("a")", R"("bx")"},
         {R"("c")"}},
        {R"({"oneOf": [{"enum": [1, 2]}, {"enum": [3]}]})", {"1", "3"}, {"4"}},
        {R"({"oneOf": [{"type": "array", "prefixItems": [{"const": 1}], "minItems": 1}, {"type": "array", "prefixItems": [{"const": 2}], "minItems": 1}]})",
         {"[1]", "[2, 1]"},
         {"[]", "[3]"}},
        {R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}]})",
         {R"({"a": 1, "b": "x"})", R"({"a": 1, "b": "x", "c": 1})"},
         {R"({"a": 1})", R"({"a": 1, "b": 2})"}},
        {R"({"allOf": [{"properties": {"a": {}}, "additionalProperties": false}, {"properties": {"b": {}}}], "type": "object"})",
         {"{}", R"({"a": 1})"},
         {R"({"b": 1})"}},
        {R"({"allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}]})",
         {R"("a")"},
         {"1", "null"}},
        {R"({"allOf": [{"properties": {"a": {"minimum": 2}}}, {"properties": {"a": {"maximum": 4, "type": "integer"}}}], "type": "object", "required": ["a"]})",
         {R"({"a": 3})"},
         {R"({"a": 1})", R"({"a": 5})"}},
        {R"({"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}})",
         {"[1, 2]"},
         {"[\"a\"]"}},
        {R"({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "minimum": 5})", {"5"}, {"4"}},
        {R"({"definitions": {"a/b~c d": {"const": 1}}, "$ref": "#/definitions/a~1b~0c%20d"})", {"1"}, {"2"}},
        {R"({"$defs": {"x": {"$anchor": "here", "const": 1}}, "$ref": "#here"})", {"1"}, {"2"}},
        {R"({"$id": "https://a.b/c", "$defs": {"x": {"const": 1}}, "$ref": "https://a.b/c#/$defs/x"})", {"1"}, {"2"}},
        {R"({"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["v", "next"], "additionalProperties": false})",
         {R"({"v": 1, "next": null})", R"({"v": 1, "next": {"v": 2, "next": null}})"},
         {R"({"v": 1})", R"({"v": 1, "next": {"v": 2}})"}},
        {R"({"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"})",
         {"[]", "[[], [[]]]"},
         {"[1]"}},
        {R"({"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}, "additionalProperties": false}]})",
         {R"("x")", R"({"a": {"a": "x"}})"},
         {"{}"}},
        {R"({"items": [true, {"type": "integer"}], "$defs": {}, "allOf": [{"items": {"$ref": "#/items/1"}}], "type": "array"})",
         {"[1, 2]"},
         {"[1, \"a\"]"}},
    });
}

TEST_CASE("space between the parts") {
    const char* schema =
        R"({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}, "b": {"const": {"c": [1, 2]}}}, "required": ["a", "b"], "additionalProperties": false})";
    const char *spaced = R"({"a": [1, 2], "b": {"c": [1, 2]}})", *compact = R"({"a":[1,2],"b":{"c":[1,2]}})";
    const char* printed = "{\n  \"a\" : [\n\t1 , 2 ] ,\"b\":{\"c\": [1, 2]}\r\n}";
    CHECK(accepts(c::json_schema(schema), spaced));
    CHECK(!accepts(c::json_schema(schema), compact));
    CHECK(accepts(c::json_schema(schema, {.space = c::JsonSpace::compact}), compact));
    CHECK(!accepts(c::json_schema(schema, {.space = c::JsonSpace::compact}), spaced));
    CHECK(accepts(c::json_schema(schema, {.space = c::JsonSpace::free}), printed));
    CHECK(!accepts(c::json_schema(schema, {.space = c::JsonSpace::free}),
                   "{" + std::string(41, ' ') + "\"a\": [], \"b\": {\"c\": [1, 2]}}"));
}

TEST_CASE("objects can be closed") {
    check({{R"({"type": "object", "properties": {"a": {"type": "object"}}})", {R"({"a": {"x": 1}})"}, {R"({"b": 1})"}},
           {R"({"type": "object", "properties": {}, "additionalProperties": true})", {R"({"b": 1})"}, {}}},
          {.close_objects = true});
}

TEST_CASE("boxes and tool calls") {
    CHECK(accepts(c::boxes(), R"([{"bbox_2d": [0, 10, 999, 1000], "label": "red circle"}])"));
    CHECK(accepts(c::boxes(), "[]"));
    CHECK(!accepts(c::boxes(), R"([{"bbox_2d": [0, 10, 1001, 5], "label": "x"}])"));
    CHECK(!accepts(c::boxes(), R"([{"bbox_2d": [0, 10, 5], "label": "x"}])"));
    const std::vector<std::string> tools{
        R"({"type": "function", "function": {"name": "zoom", "description": "d", "parameters": {"type": "object",
            "properties": {"factor": {"$ref": "#/$defs/f"}}, "required": ["factor"], "additionalProperties": false,
            "$defs": {"f": {"type": "integer", "minimum": 1, "maximum": 8}}}}})",
        R"({"name": "stop"})"};
    const auto call = c::tool_call(tools);
    CHECK(accepts(call, R"({"name": "zoom", "arguments": {"factor": 3}})"));
    CHECK(accepts(call, R"({"name": "stop", "arguments": {}})"));
    CHECK(!accepts(call, R"({"name": "zoom", "arguments": {"factor": 9}})"));
    CHECK(!accepts(call, R"({"name": "zoom", "arguments": {}})"));
    CHECK(!accepts(call, R"({"name": "run", "arguments": {}})"));
    CHECK(message_of<q::GrammarError>([] { c::tool_call({}); }) == "tool call: expected at least one tool, found none");
    CHECK_THAT(message_of<q::GrammarError>([] { c::tool_call(std::vector<std::string>{"{}"}); }),
               contains("tool 0: expected a name"));
    CHECK_THAT(message_of<q::GrammarError>(
                   [] { c::tool_call(std::vector<std::string>{R"({"name": "x", "parameters": {"not": {}}})"}); }),
               contains("tool 0: schema: #/parameters/not: 'not' is not supported"));
}

TEST_CASE("what a schema cannot have is refused by name and place") {
    const std::pair<const char*, const char*> rows[] = {
        {"", "schema: not valid JSON"},
        {"{", "schema: not valid JSON"},
        {"5", "schema: #: expected a schema"},
        {R"({"type": "strin"})", "#/type: expected the name of a type"},
        {R"({"type": ["string", 5]})", "#/type/1: expected the name of a type"},
        {R"({"a": 1, "a": 2})", "#/a: a key twice in an object"},
        {R"({"not": {}})", "#/not: 'not' is not supported"},
        {R"({"properties": {"x": {"if": {}}}})", "#/properties/x/if: 'if' is not supported"},
        {R"({"properties": {"a/b": {"contains": {}}}})", "#/properties/a~1b/contains: 'contains' is not supported"},
        {R"({"items": {"uniqueItems": true}})", "#/items/uniqueItems: 'uniqueItems' is not supported"},
        {R"({"unevaluatedProperties": false})", "#/unevaluatedProperties: 'unevaluatedProperties' is not supported"},
        {R"({"dependentRequired": {"a": ["b"]}})", "'dependentRequired' is not supported"},
        {R"({"$dynamicRef": "#x"})", "'$dynamicRef' is not supported"},
        {R"({"multipleOf": 0.01})", "#/multipleOf: 'multipleOf' is supported for integers from 1 to 999, found 0.01"},
        {R"({"multipleOf": 0})", "#/multipleOf: expected a number above 0"},
        {R"({"type": "number", "minimum": 0.12345678901234567})", "#/minimum: a bound of more than 15 digits"},
        {R"({"minimum": "a"})", "#/minimum: expected a number"},
        {R"({"minLength": -1})", "#/minLength: expected an integer from 0"},
        {R"({"maxItems": 1.5})", "#/maxItems: expected an integer from 0"},
        {R"x({"pattern": "(?=a)"})x", "schema: #/pattern: regular expression: look-ahead"},
        {R"({"pattern": 5})", "#/pattern: expected a string"},
        {R"({"patternProperties": {"[": {}}})", "schema: #/patternProperties/[: regular expression"},
        {R"({"format": "uri-template"})", "#/format: the format 'uri-template' is not supported"},
        {R"({"pattern": "^a", "maxLength": 100000})", "at most 8192 can be counted there"},
        {R"({"$ref": "http://x.y/z"})",
         "#/$ref: 'http://x.y/z' is not supported: only references into the schema itself"},
        {R"({"$ref": "#/$defs/x"})", "#/$ref: '#/$defs/x' is not in the schema"},
        {R"({"$ref": "#x"})", "#/$ref: '#x' is not in the schema"},
        {R"({"$ref": "#"})", "#: refers to itself without anything between"},
        {R"({"anyOf": [{"$ref": "#/anyOf/0"}]})", "#/anyOf/0: refers to itself"},
        {R"({"anyOf": []})", "#/anyOf: expected a list of schemas"},
        {R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})", "#/oneOf: branches 0 and 1 may both hold"},
        {R"({"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"})",
         "#/oneOf: branches 0 and 1 may both hold"},
        {R"({"enum": 5})", "#/enum: expected a list"},
        {R"({"properties": []})", "#/properties: expected an object"},
        {R"({"properties": {"a": 5}, "type": "object"})", "#/properties/a: expected a schema"},
        {R"({"required": [1]})", "#/required/0: expected a string"},
        {"false", "schema: #: nothing satisfies it"},
        {R"({"enum": []})", "nothing satisfies it"},
        {R"({"type": "integer", "minimum": 5, "maximum": 4})", "nothing satisfies it"},
        {R"({"type": "string", "minLength": 5, "maxLength": 4})", "nothing satisfies it"},
        {R"({"type": "string", "pattern": "^a$", "minLength": 2})", "nothing satisfies it"},
        {R"({"type": "array", "minItems": 2, "maxItems": 1})", "nothing satisfies it"},
        {R"({"type": "array", "items": false, "minItems": 1})", "nothing satisfies it"},
        {R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "nothing satisfies it"},
        {R"({"type": "object", "required": ["a"], "properties": {"a": false}})", "nothing satisfies it"},
        {R"({"type": "object", "required": ["a"], "additionalProperties": false})", "nothing satisfies it"},
        {R"({"type": "object", "minProperties": 2})",
         "minProperties above the number of named members is not supported"},
        {R"({"allOf": [{"type": "string"}, {"type": "integer"}]})", "nothing satisfies it"},
    };
    for (const auto& [schema, message] : rows) {
        INFO(schema);
        CHECK_THAT(message_of<q::GrammarError>([&] { c::json_schema(schema); }), contains(message));
    }
    std::string deep = "{}";
    for (int i = 0; i < 140; ++i) deep = "{\"items\": " + deep + "}";
    CHECK_THAT(message_of<q::GrammarError>([&] { c::json_schema(deep); }), contains("nested deeper than 128"));
    std::string chain = "{\"$defs\": {";
    for (int i = 0; i < 1000; ++i)
        chain += "\"" + std::to_string(i) + "\": {\"$ref\": \"#/$defs/" + std::to_string(i + 1) + "\"}, ";
    CHECK_THAT(message_of<q::GrammarError>([&] { c::json_schema(chain + "\"1000\": {}}, \"$ref\": \"#/$defs/0\"}"); }),
               contains("nest deeper than 200"));
    std::string product = "{\"allOf\": [";
    for (int i = 0; i < 12; ++i) product += "{\"anyOf\": [{\"minLength\": 1}, {\"minLength\": 2}]}, ";
    CHECK_THAT(message_of<q::GrammarError>([&] { c::json_schema(product + "true]}"); }),
               contains("more than 1024 combinations"));
    std::string names = "{\"type\": \"object\", \"properties\": {";
    for (int i = 0; i < 4000; ++i) names += "\"" + std::to_string(i * 7919) + "_of_the_name\": {}, ";
    CHECK_THAT(message_of<q::GrammarError>([&] { c::json_schema(names + "\"x\": {}}}"); }),
               contains("names or listed strings of more than 32768 characters that differ"));
    c::JsonOptions small;
    small.limits.text = 10;
    CHECK(message_of<q::GrammarError>([&] { c::json_schema("{\"type\": \"null\"}", small); }) ==
          "schema: 16 bytes, at most 10 are read");
    small.limits = {};
    small.limits.states = 100;
    CHECK_THAT(message_of<q::GrammarError>([&] { c::json_schema("true", small); }), contains("more than 100 states"));
    small.limits = {};
    small.limits.depth = 2;
    CHECK_THAT(
        message_of<q::GrammarError>([&] {
            c::json_schema(
                R"({"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "items": {"type": "integer"}}}})",
                small);
        }),
        contains("every answer nests deeper than 2 calls"));
}

}  // namespace json_schema_test
