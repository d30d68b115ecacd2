#include "catch.hpp"

#include <chrono>
#include <qwen3vl/tokenizer/byte_level.hpp>
#include <qwen3vl/tokenizer/nfc.hpp>
#include <qwen3vl/tokenizer/split_pattern.hpp>
#include <qwen3vl/tokenizer/utf8.hpp>
#include <string>
#include <vector>

using namespace qwen3vl;

namespace tokenizer_text_test {

std::vector<std::string> pieces(const tokenizer::SplitPattern& pattern, std::string_view text) {
    std::vector<std::string> out;
    tokenizer::SplitScratch scratch;
    pattern.for_each_piece(text, scratch, [&](std::string_view p) { out.emplace_back(p); });
    return out;
}
std::vector<std::string> pieces(std::string_view pattern, std::string_view text) {
    return pieces(tokenizer::SplitPattern::regex(pattern, "test"), text);
}

using Pieces = std::vector<std::string>;
const char* const qwen =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

TEST_CASE("UTF-8 repair replaces maximal parts") {
    const std::string r(tokenizer::replacement_character);
    // The table of Unicode 15, section 3.9 (tables 3-8 to 3-11).
    CHECK(tokenizer::repair_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == r + r + r + r + r + r + r + r + "A");
    CHECK(tokenizer::repair_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == r + r + r + r + r + r + r + r + "A");
    CHECK(tokenizer::repair_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == r + r + r + r + r + "A" + r + r + "B");
    CHECK(tokenizer::repair_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == r + r + r + r + "A");
    const std::string fine = std::string("a\0", 2) + "\xC2\x80\xED\x9F\xBF\xEE\x80\x80\xF0\x90\x80\x80\xF4\x8F\xBF\xBF";
    CHECK(tokenizer::repair_utf8(fine) == fine);
    for (char32_t c : {U'\x7F', U'\x80', U'\x7FF', U'\x800', U'\xD7FF', U'\xFFFF', U'\x10000', U'\x10FFFF'}) {
        std::string text;
        tokenizer::append_utf8(text, c);
        std::size_t at = 0;
        CHECK(tokenizer::next_code_point(text, at) == c);
        CHECK(at == text.size());
        CHECK(tokenizer::repair_utf8(text) == text);
    }
}

TEST_CASE("NFC") {
    const auto nfc = tokenizer::Nfc::normalise;
    CHECK(nfc("caf\xC3\xA9") == "caf\xC3\xA9");
    CHECK(nfc("cafe\xCC\x81") == "caf\xC3\xA9");
    CHECK(nfc("a\xCC\x81\xCC\xA3") == "\xE1\xBA\xA1\xCC\x81");             // the mark below goes first and composes
    CHECK(nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB") == "\xED\x95\x9C");  // jamo to a Hangul syllable
    CHECK(nfc("\xE2\x84\xAB") == "\xC3\x85");                              // the angstrom sign is a letter
    CHECK(nfc("\xEA\xB0\x80\xE1\x86\xA7") == "\xEA\xB0\x80\xE1\x86\xA7");  // U+11A7 is no final consonant
    CHECK(nfc("\xE0\xA4\x95\xE0\xA4\xBC") == "\xE0\xA4\x95\xE0\xA4\xBC");  // a composition exclusion stays apart
    CHECK(nfc("a\xE0\xB0\xBC\xCC\xB4") == "a\xE0\xB0\xBC\xCC\xB4");        // U+0C3C came after the reference's tables
    CHECK(nfc(std::string("\0e\xCC\x81\0", 5)) == std::string("\0\xC3\xA9\0", 4));
    CHECK(nfc("").empty());
}

TEST_CASE("byte-level spelling") {
    CHECK(tokenizer::ByteLevel::bytes("\xC4\xA0the") == " the");
    CHECK(tokenizer::ByteLevel::bytes("\xC4\x8A") == "\n");
    CHECK(tokenizer::ByteLevel::bytes("\xC3\xA9") == "\xE9");
    CHECK_FALSE(tokenizer::ByteLevel::bytes("two words"));
    CHECK_FALSE(tokenizer::ByteLevel::bytes("\xE4\xB8\x80"));
}

TEST_CASE("the split pattern cuts as the reference does") {
    CHECK(pieces(qwen, "Hello, it's 2024!\n\n  ok") ==
          Pieces{"Hello", ",", " it", "'s", " ", "2", "0", "2", "4", "!\n\n", " ", " ok"});
    CHECK(pieces(qwen, "   x") == Pieces{"  ", " x"});
    CHECK(pieces(qwen, "x   ") == Pieces{"x", "   "});
    CHECK(pieces(qwen,
                 "a\xE1\xA0\x8E"
                 "b") == Pieces{"a",
                                "\xE1\xA0\x8E"
                                "b"});  // U+180E is no space to Unicode, so it may begin a word
    CHECK(pieces(qwen, "a\xC2\x85\xC2\x85!") == Pieces{"a", "\xC2\x85", "\xC2\x85", "!"});
    CHECK(pieces(qwen, "").empty());
    CHECK(pieces("b", "abcb") == Pieces{"a", "b", "c", "b"});
    CHECK(pieces("(?=b)", "abcb") == Pieces{"a", "bc", "b"});
    CHECK(pieces("x*", "\xC3\xA9\xC3\xA9xx\xC3\xA9") == Pieces{"\xC3\xA9", "\xC3\xA9", "xx", "\xC3\xA9"});
    CHECK(pieces("$", "a\nb") == Pieces{"a", "\nb"});
    CHECK(pieces(tokenizer::SplitPattern::literal("a.", "test"), "aba.b") == Pieces{"ab", "a.", "b"});
}

TEST_CASE("constructs that the two syntaxes read differently are refused by name") {
    for (const char* pattern : {R"(\w+)",   R"(\h)",      R"(\R)",          R"(\b)",
                                R"((a)\1)", R"([a[bc]])", R"([[:alpha:]])", R"([\p{L}&&[a]])",
                                R"([]a])",  R"((?m:a))",  R"((?<n>a))",     R"((*LIMIT_MATCH=1)a)",
                                R"(a{,3})", R"(a{2}+)",   R"(a{2}?)",       R"({)",
                                R"(\pL)",   R"(\x41)",    R"(\x{41)",       "\\",
                                R"((?)",    R"((?#c))"}) {
        INFO(pattern);
        CHECK_THROWS_WITH(tokenizer::SplitPattern::regex(pattern, "file.json: field 'x'"),
                          Catch::StartsWith("file.json: field 'x': regular expression: '"));
    }
    for (const char* pattern : {"(", "[a", "a**", R"(\p{Nonsense})", "(?<!a+)b", "a{99999}"}) {
        INFO(pattern);
        CHECK_THROWS_AS(tokenizer::SplitPattern::regex(pattern, "f"), TokenizerError);
    }
    for (const char* pattern :
         {R"(\p{N}{1,3}|[^\S\r\n]|\{|[\[\]{}&]|\d\x{3042})", R"((?:a|b)++(?>c)(?<=c)(?<!d)(e))", R"(\p{^L}\P{L})"})
        CHECK_NOTHROW(tokenizer::SplitPattern::regex(pattern, "f"));
    CHECK_THROWS_AS(tokenizer::SplitPattern::regex(std::string(1 << 20, 'a'), "f"), TokenizerError);
}

TEST_CASE("an exponential pattern is an error within a short time") {
    for (const char* pattern : {"(a+)+$", "(a|aa)+$", "(?:a*)*b", "(a|a)*c"}) {
        const auto begin = std::chrono::steady_clock::now();
        const std::string text = std::string(5000, 'a') + "!c";
        INFO(pattern);
        try {
            std::string joined;
            for (const auto& p : pieces(pattern, text)) joined += p;
            CHECK(joined == text);  // PCRE2 may see at once that nothing matches
        } catch (const TokenizerError& e) {
            CHECK_THAT(e.what(), Catch::Contains("cannot split a text of 5002 bytes"));
        }
        CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < 20);
    }
    CHECK_THROWS_AS(pieces("(a+)+$", std::string(5000, 'a') + "!"), TokenizerError);
}

}  // namespace tokenizer_text_test
