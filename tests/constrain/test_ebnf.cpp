#include "catch.hpp"
#include "small_vocabulary.hpp"
#include "temporary_folder.hpp"

namespace ebnf_test {

using namespace small_vocabulary;
namespace c = q::constrain;

TEST_CASE("a grammar allows what its root derives") {
    const auto sums = c::ebnf(R"x(
        # sums of numbers and groups
        root   ::= term ("+" term)*
        term   ::= number | "(" root ")"   # rules may call each other
        number ::= [1-9] [0-9]{0,2} | "0"
    )x");
    for (const char* text : {"1", "0", "123+4", "(1+2)+3", "((((7))))+(1+(2+3))"}) CHECK(accepts(sums, text));
    for (const char* text : {"", "01", "1234", "1+", "(1", "1)", "()"}) CHECK(!accepts(sums, text));

    const auto texts = c::ebnf(R"(root ::= greeting "\n"? ("\"" [^"\\]+ "\"" ){2,3} tail*
greeting ::= "h\u00E9" | "a.b*[c]"
tail ::= "!" )");
    for (const char* text : {"h\xC3\xA9\"a\"\"b\"", "a.b*[c]\n\"x\"\"y\"\"z\"!!"}) CHECK(accepts(texts, text));
    for (const char* text : {"h\xC3\xA9\"a\"", "axb*[c]\"a\"\"b\"", "h\xC3\xA9\"\"\"b\""}) CHECK(!accepts(texts, text));

    const auto nested = c::ebnf("root ::= \"a\" root \"b\" | \"\"");  // a^n b^n
    CHECK(accepts(nested, ""));
    CHECK(accepts(nested, "aaabbb"));
    CHECK(!accepts(nested, "aabbb"));
    CHECK(!accepts(nested, "aab"));
    const std::string deep(150, 'a');
    CHECK(accepts(nested, deep + std::string(150, 'b')));
    CHECK(!accepts(nested, std::string(300, 'a') + std::string(300, 'b')));  // Limits::depth

    const auto palindromes = c::ebnf(R"(root ::= "a" root "a" | "b" root "b" | [ab]?)");
    CHECK(accepts(palindromes, "abbabba"));
    CHECK(!accepts(palindromes, "abbabb"));
}

TEST_CASE("what a grammar cannot have is refused with its line") {
    const std::pair<const char*, const char*> rows[] = {
        {"", "expected a rule 'root', found none"},
        {"a ::= \"x\"", "expected a rule 'root', found none"},
        {"root ::= \"x\"\nroot ::= \"y\"", "line 2: rule 'root' is defined twice"},
        {"root ::= \"a\" other", "rule 'other' is not defined"},
        {"root ::= root \"+\" \"1\" | \"1\"", "rule 'root' may begin with itself"},
        {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\" | \"z\"", "may begin with itself"},
        {"root ::= (\"a\"?)*", "a repetition of something that may be empty"},
        {"root ::= \"a\n", "a text without its closing quote"},
        {"root ::= (\"a\"", "'(' without its ')'"},
        {"root ::= [a", "'[' without its ']'"},
        {"root ::= \"a\"{2,1}", "counts out of order"},
        {"root ::= \"a\"{", "expected a count"},
        {"root ::= \"\\q\"", "'\\q' is no escape of a text"},
        {"root ::= *", "'*' is not expected here"},
        {"root = \"a\"", "line 1: expected `name ::= expression`"},
        {"root ::= \"a\" root", "nothing satisfies it"},
        {"\xFF", "not valid UTF-8"},
    };
    for (const auto& [grammar, message] : rows) {
        INFO(grammar);
        CHECK_THAT(message_of<q::GrammarError>([&] { c::ebnf(grammar); }), contains(message));
    }
    CHECK(message_of<q::GrammarError>([] { c::ebnf("root ::= [a-z]+ | root2\nroot2 ::= \"1\" (root)?"); }).empty());
}

TEST_CASE("an ambiguous grammar keeps to its limits") {
    // every text of n letters has exponentially many derivations
    const auto grammar = c::ebnf("root ::= item root | item\nitem ::= \"a\" | \"a\" item \"\" | \"a\" \"a\"");
    c::Matcher m(grammar, trie());
    for (int i = 0; i < 40; ++i) {
        REQUIRE(bit(m.mask(), 'a'));
        m.accept('a');
    }
    CHECK(m.complete());
}

}  // namespace ebnf_test
