#include "catch.hpp"
#include "small_vocabulary.hpp"
#include "temporary_folder.hpp"

namespace regex_test {

using namespace small_vocabulary;
namespace c = q::constrain;

struct Row {
    const char* pattern;
    std::vector<const char*> accepted, refused;
};

TEST_CASE("a regular expression allows the texts that match it") {
    const std::vector<Row> rows{
        {"", {""}, {"a"}},
        {"abc", {"abc"}, {"", "ab", "abcd"}},
        {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
        {"a*b+c?", {"b", "aab", "bbc"}, {"a", "ac", "bcc"}},
        {"a{2}b{1,}c{0,2}", {"aab", "aabbcc"}, {"ab", "aaab", "aabccc"}},
        {"(?:ab)+?", {"ab", "abab"}, {"", "aba"}},
        {"(?<year>[0-9]{4})-(\\d\\d)", {"2026-11"}, {"226-11", "2026-1"}},
        {"[^a-c]", {"d", "\xE2\x82\xAC", "\n"}, {"a", "\xE2\x82", ""}},
        {"[a\\-z\\]]", {"a", "-", "z", "]"}, {"b"}},
        {"[]a", {}, {"a", ""}},
        {".", {"a", "\xF0\x9F\x98\x80"}, {"\n", "\r", "\xE2\x80\xA8", "\x80", "\xED\xA0\x80"}},
        {"\\w\\W", {"a-", "_ "}, {"aa", "a\xC3\xA9"}},
        {"\\s\\S", {" a", "\t-", "\xC2\xA0x"}, {"  ", "aa"}},
        {"[^\\s]", {"a"}, {" ", "\xEF\xBB\xBF"}},
        {"\\x41\\u00e9\\u{1F600}\\ud83d\\ude00", {"A\xC3\xA9\xF0\x9F\x98\x80\xF0\x9F\x98\x80"}, {"A"}},
        {"\\p{Lu}\\p{L}*\\P{L}", {"Ab1", "\xC3\x89."}, {"ab1", "AbC"}},
        {"\\$\\^\\.\\/\\\\\\t", {"$^./\\\t"}, {"$"}},
        {"^a$|^$", {"a", ""}, {"aa"}},
        {"(a|aa){1,3}", {"a", "aaaaaa"}, {"", "aaaaaaa"}},
        {"(a|b)*abb", {"abb", "babaabb"}, {"ab", "abba"}},
        {"[\\u0400-\\u04FF]{2}", {"\xD0\xB0\xD0\xB1"}, {"\xD0\xB0", "ab"}},
        {"\\p{Nd}|\\d", {"7", "\xD9\xA3"}, {"x"}},
    };
    for (const auto& [pattern, accepted, refused] : rows) {
        if (accepted.empty()) {
            CHECK(message_of<q::GrammarError>([&] { c::regex(pattern); }) ==
                  "nothing satisfies it: no finite answer is allowed");
            continue;
        }
        const auto grammar = c::regex(pattern);
        for (const char* text : accepted) {
            INFO(pattern << " accepts " << text);
            CHECK(accepts(grammar, text));
        }
        for (const char* text : refused) {
            INFO(pattern << " refuses " << text);
            CHECK(!accepts(grammar, text));
        }
    }
}

TEST_CASE("what a regular expression cannot have is refused by name") {
    const std::pair<const char*, const char*> rows[] = {
        {"a(?=b)", "look-ahead '(?=' is not supported, at byte 1"},
        {"(?<!b)a", "look-behind '(?<!' is not supported, at byte 0"},
        {"(a)\\1", "back-references are not supported"},
        {"\\bword", "word boundaries '\\b' are not supported"},
        {"(?i)a", "'(?i)' is not supported"},
        {"(?>a)", "atomic groups '(?>' is not supported"},
        {"a++", "possessive quantifiers are not supported"},
        {"a**", "a quantifier behind a quantifier"},
        {"*a", "a quantifier without something before it"},
        {"a{2,1}", "'{' that begins no {m,n}"},
        {"a{x}", "'{' that begins no {m,n}"},
        {"(a", "'(' without its ')'"},
        {"a)", "')' without its '('"},
        {"[a", "'[' without its ']'"},
        {"[z-a]", "a range of a class needs two characters in order"},
        {"\\p{Greek}", "'\\p{Greek}' is not supported"},
        {"\\q", "'\\q' is not supported"},
        {"\\", "'\\' at the end"},
        {"\\u12", "too few hexadecimal digits"},
        {"\\uD800", "no code point"},
        {"^*", "a quantifier behind an anchor"},
        {"a{100001}", "a count above 100000"},
        {"((((a{90}){90}){90}){90})", "needs more than 8192 states"},
        {"(a|b)*a(a|b){20}", "needs more than 8192 states"},
        {"\xFF", "it is not valid UTF-8"},
    };
    for (const auto& [pattern, message] : rows) {
        INFO(pattern);
        CHECK_THAT(message_of<q::GrammarError>([&] { c::regex(pattern); }), contains(message));
    }
    CHECK_THAT(message_of<q::GrammarError>([] { c::regex(std::string(200, '(')); }),
               contains("groups nest deeper than 100"));
}

TEST_CASE("sets of strings are combined") {
    const auto dfa = [](const char* pattern) {
        std::uint64_t work = 1'000'000;
        return c::RegexDfa::compile(pattern, c::RegexDfa::Match::whole, 1000, "test", work);
    };
    const auto both = dfa("[a-m]*").intersected(dfa("[h-z]{2,}"), 1000);
    CHECK(both.accepts(U"hi"));
    CHECK(!both.accepts(U"h"));
    CHECK(!both.accepts(U"ah"));
    CHECK(dfa("a+").complement().accepts(U""));
    CHECK(dfa("a+").complement().accepts(U"ab"));
    CHECK(!dfa("a+").complement().accepts(U"aa"));
    CHECK(dfa("a").intersected(dfa("b"), 1000).empty());
    CHECK(dfa(".*").complement().accepts(U"\n"));
    const auto named = c::CharDfa::of_strings({U"ab", U"a", U"\u20AC"}, 100);
    CHECK(named.accepts(U"a"));
    CHECK(named.accepts(U"\u20AC"));
    CHECK(!named.accepts(U"b"));
    CHECK(c::CharDfa().complement().empty());
    const auto counted = dfa("(ab)*").with_length(3, 5, 1000);
    CHECK(counted.accepts(U"abab"));
    CHECK(!counted.accepts(U"ab"));
    CHECK(!counted.accepts(U"ababab"));
    CHECK(dfa("a*").with_length(3, c::CharDfa::unbounded, 1000).accepts(U"aaaaaa"));
    CHECK(dfa("a*").with_length(3, 2, 1000).empty());
    CHECK_THAT(message_of<q::GrammarError>([&] { dfa("a*").with_length(0, 5000, 1000); }), contains("at most 1000"));
}

}  // namespace regex_test
