#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <qwen3vl/constrain/code_points.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/tokenizer/utf8.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <utf8proc.h>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// A regular expression as a tree.
struct RegexNode {
    /// One character; nodes in a row; one of several; a repetition; `^`; `$`.
    enum class Kind { set, sequence, choice, repeat, begin, end };
    static constexpr std::uint32_t unbounded = ~std::uint32_t{0};  ///< a repetition without end
    Kind kind = Kind::sequence;                                    ///< what it stands for
    CodePointSet set = {};                                         ///< of kind set
    std::vector<RegexNode> children = {};  ///< one for a repetition; an empty sequence is the empty text
    std::uint32_t least = 0, most = 0;     ///< of a repetition
};

/// Parses a regular expression of ECMA-262 (flag u):
///
///     abc . [a-z] [^a-z] a|b (...) (?:...) (?<name>...) ^ $
///     * + ? {m} {m,} {m,n}, and their lazy forms, which read the same texts
///     \d \D \w \W \s \S \p{L} \P{Lu} \t \n \r \f \v \0 \xHH \uHHHH \u{H}
///
/// Refused by name: look-around, back-references, word boundaries, flags, possessive quantifiers, atomic groups,
/// scripts. Dialects differ about letters, digits and spaces beyond ASCII: the shorthands stand for what all of them
/// count as such, their complements for what none of them does.
class RegexSyntax {
  public:
    /// Throws GrammarError, which names `where` and the byte, for what is malformed or not supported.
    static RegexNode parse(std::string_view pattern, const std::string& where) {
        RegexSyntax syntax(pattern, where);
        if (tokenizer::repair_utf8(pattern) != pattern) syntax.refuse("it is not valid UTF-8");
        RegexNode root = syntax.choice();
        if (syntax.at_ < pattern.size()) syntax.refuse("')' without its '('");
        return root;
    }
    /// Characters of a Unicode general category, "L" or "Lu"; nothing where there is none of the name.
    static std::optional<CodePointSet> category(std::string_view name);

  private:
    RegexSyntax(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

    [[noreturn]] void refuse(const std::string& what) const {
        throw GrammarError(where_ + ": regular expression: " + what + ", at byte " + std::to_string(at_));
    }
    bool done() const { return at_ >= in_.size(); }
    bool ahead(std::string_view s) const { return in_.substr(at_).starts_with(s); }
    bool take(std::string_view s) {
        if (!ahead(s)) return false;
        at_ += s.size();
        return true;
    }
    static RegexNode of_set(CodePointSet set) { return {RegexNode::Kind::set, std::move(set), {}, 0, 0}; }

    RegexNode choice() {
        if (++depth_ > 100) refuse("groups nest deeper than 100");
        RegexNode out{RegexNode::Kind::choice, {}, {}, 0, 0};
        do out.children.push_back(sequence());
        while (take("|"));
        --depth_;
        return out.children.size() == 1 ? std::move(out.children[0]) : out;
    }
    RegexNode sequence() {
        RegexNode out;
        while (!done() && !ahead("|") && !ahead(")")) {
            RegexNode item = term();
            quantify(item);
            out.children.push_back(std::move(item));
        }
        return out;
    }
    void quantify(RegexNode& item) {
        std::uint32_t least = 0, most = RegexNode::unbounded;
        const std::size_t before = at_;
        if (take("*")) {
        } else if (take("+")) {
            least = 1;
        } else if (take("?")) {
            most = 1;
        } else if (take("{")) {
            const auto first = number();
            if (!first) refuse("'{' that begins no {m,n}; write \\{ for the character");
            least = most = *first;
            if (take(",")) most = ahead("}") ? RegexNode::unbounded : number().value_or(0);
            if (!take("}") || most < least) refuse("'{' that begins no {m,n}; write \\{ for the character");
        } else {
            return;
        }
        if (item.kind == RegexNode::Kind::begin || item.kind == RegexNode::Kind::end) {
            at_ = before;
            refuse("a quantifier behind an anchor");
        }
        if (take("+")) refuse("possessive quantifiers are not supported");
        take("?");  // lazy: the same texts
        if (ahead("*") || ahead("+") || ahead("?") || ahead("{")) refuse("a quantifier behind a quantifier");
        item = RegexNode{RegexNode::Kind::repeat, {}, {std::move(item)}, least, most};
    }
    std::optional<std::uint32_t> number() {
        const std::size_t begin = at_;
        std::uint32_t n = 0;
        for (; !done() && in_[at_] >= '0' && in_[at_] <= '9'; ++at_) {
            n = n * 10 + static_cast<std::uint32_t>(in_[at_] - '0');
            if (n > 100'000) refuse("a count above 100000");
        }
        return at_ > begin ? std::optional(n) : std::nullopt;
    }
    RegexNode term() {
        if (take("^")) return {RegexNode::Kind::begin, {}, {}, 0, 0};
        if (take("$")) return {RegexNode::Kind::end, {}, {}, 0, 0};
        if (take(".")) return of_set(CodePointSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement());
        if (ahead("(")) return group();
        if (take("[")) return of_set(char_class());
        if (ahead("\\")) return of_set(escape(false));
        if (ahead("*") || ahead("+") || ahead("?") || ahead("{")) refuse("a quantifier without something before it");
        return of_set(CodePointSet::one(tokenizer::next_code_point(in_, at_)));
    }
    RegexNode group() {
        for (const auto& [syntax, name] : {std::pair{"(?=", "look-ahead"},
                                           {"(?!", "look-ahead"},
                                           {"(?<=", "look-behind"},
                                           {"(?<!", "look-behind"},
                                           {"(?>", "atomic groups"}})
            if (ahead(syntax)) refuse(std::string(name) + " '" + syntax + "' is not supported");
        if (take("(?<") || take("(?P<")) {
            const auto end = in_.find('>', at_);
            if (end == std::string_view::npos) refuse("a group's name without its end");
            at_ = end + 1;
        } else if (!take("(?:")) {
            if (ahead("(?")) refuse("'" + std::string(in_.substr(at_, 4)) + "' is not supported");
            take("(");
        }
        RegexNode inner = choice();
        if (!take(")")) refuse("'(' without its ')'");
        return inner;
    }
    CodePointSet char_class();
    CodePointSet escape(bool in_class, bool in_negated = false);
    char32_t hex(int least, int most);

    std::string_view in_;
    const std::string& where_;
    std::size_t at_ = 0;
    int depth_ = 0;
};

}  // namespace qwen3vl::constrain

#include <qwen3vl/constrain/regex_classes.hpp>
