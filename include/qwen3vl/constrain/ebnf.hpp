#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <qwen3vl/constrain/matcher.hpp>
#include <qwen3vl/constrain/regex.hpp>
#include <qwen3vl/constrain/regex_syntax.hpp>
#include <qwen3vl/constrain/text_rules.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Answers that a context-free grammar derives from its rule `root`:
///
///     # lines from a '#' on are comments
///     root   ::= "sum: " number ("+" number)* "\n"?
///     number ::= [1-9] [0-9]{0,5} | "0"
///
/// Rules are `name ::= expression` (letters, digits, '-' and '_' in names). An expression is made of texts in double
/// quotes, character classes as in regular expressions, names of rules, groups in parentheses, `|`, and repetitions
/// behind any of these. Left recursion is refused, and so is a repetition of something that may be empty.
///
///     * + ? {m} {m,} {m,n}            repetitions
///     \n \r \t \" \\ \xHH \uHHHH    escapes of texts
///
/// Throws GrammarError, with the line, for what is malformed or not supported, and where the root derives nothing.
Grammar ebnf(std::string_view grammar, const Limits& limits = {});

/// Reads the grammars of ebnf().
class EbnfReader {
  public:
    /// The rules of a grammar, finished. Throws GrammarError as ebnf().
    static Rules read(std::string_view text, const Limits& limits) {
        EbnfReader reader(text, limits);
        return reader.read();
    }

  private:
    struct Rule {
        State start = 0;
        bool defined = false;
        std::size_t used_at = 0;  ///< byte, for errors
    };

    EbnfReader(std::string_view text, const Limits& limits) : in_(text), rules_(limits), text_(rules_) {}

    [[noreturn]] void refuse(const std::string& problem, std::size_t at) const {
        const auto line =
            1 + std::count(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(std::min(at, in_.size())), '\n');
        throw GrammarError("grammar: line " + std::to_string(line) + ": " + problem);
    }
    [[noreturn]] void refuse(const std::string& problem) const { refuse(problem, at_); }
    void skip();
    bool take(std::string_view s) {
        skip();
        if (!in_.substr(at_).starts_with(s)) return false;
        at_ += s.size();
        return true;
    }
    std::string name();
    bool rule_begins();
    Rules read();
    void choice(State from, State to);
    void sequence(State from, State to);
    void item(State from, State to);
    void repeated(State from, State to);
    void text(State from, State to);
    void char_class(State from, State to);
    void refuse_empty_cycles() const;
    Rule& rule(const std::string& name) {
        const auto [known, is_new] = named_.try_emplace(name);
        if (is_new) {
            known->second.start = rules_.add_state();
            known->second.used_at = at_;
        }
        return known->second;
    }

    std::string_view in_;
    std::size_t at_ = 0;
    int depth_ = 0;
    Rules rules_;
    TextRules text_;
    std::map<std::string, Rule> named_;
    std::map<State, std::size_t> repeated_;  ///< what loops repeat, and the byte where it stands
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Grammar ebnf(std::string_view grammar, const Limits& limits) {
    if (grammar.size() > limits.text)
        throw GrammarError("grammar: " + std::to_string(grammar.size()) + " bytes, at most " +
                           std::to_string(limits.text) + " are read");
    if (tokenizer::repair_utf8(grammar) != grammar) throw GrammarError("grammar: not valid UTF-8");
    return Grammar(EbnfReader::read(grammar, limits));
}

QWEN3VL_SUPPORT void EbnfReader::skip() {
    for (; at_ < in_.size(); ++at_) {
        if (in_[at_] == '#') at_ = std::min(in_.find('\n', at_), in_.size() - 1);
        if (std::string_view(" \t\r\n").find(in_[at_]) == std::string_view::npos && in_[at_] != '#') return;
    }
}

QWEN3VL_SUPPORT std::string EbnfReader::name() {
    skip();
    const auto part_of_name = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    const std::size_t begin = at_;
    while (at_ < in_.size() && part_of_name(in_[at_])) ++at_;
    return std::string(in_.substr(begin, at_ - begin));
}

/// True if `name ::=` comes next.
QWEN3VL_SUPPORT bool EbnfReader::rule_begins() {
    const std::size_t before = at_;
    const bool begins = !name().empty() && take("::=");
    at_ = before;
    return begins;
}

QWEN3VL_SUPPORT Rules EbnfReader::read() {
    for (skip(); at_ < in_.size(); skip()) {
        const std::size_t begin = at_;
        const std::string defined = name();
        if (defined.empty() || !take("::=")) refuse("expected `name ::= expression`", begin);
        Rule& r = rule(defined);
        if (r.defined) refuse("rule '" + defined + "' is defined twice", begin);
        r.defined = true;
        choice(r.start, rules_.add_state(true));
    }
    for (const auto& [n, r] : named_)
        if (!r.defined) refuse("rule '" + n + "' is not defined", r.used_at);
    if (!named_.contains("root")) throw GrammarError("grammar: expected a rule 'root', found none");
    refuse_empty_cycles();
    try {
        rules_.finish(named_.at("root").start, all_bytes());
    } catch (const GrammarError& e) {
        throw GrammarError("grammar: " + std::string(e.what()));
    }
    return std::move(rules_);
}

QWEN3VL_SUPPORT void EbnfReader::choice(State from, State to) {
    if (++depth_ > 100) refuse("groups nest deeper than 100");
    do sequence(from, to);
    while (take("|"));
    --depth_;
}

QWEN3VL_SUPPORT void EbnfReader::sequence(State from, State to) {
    for (skip(); at_ < in_.size() && in_[at_] != '|' && in_[at_] != ')' && !rule_begins(); skip()) {
        const State next = rules_.add_state();
        repeated(from, next);
        from = next;
    }
    rules_.jump(from, to);
}

QWEN3VL_SUPPORT void EbnfReader::repeated(State from, State to) {
    const State start = rules_.add_state(), end = rules_.add_state();
    const std::size_t begin = at_;
    item(start, end);
    std::uint32_t least = 1, most = 1;
    const auto number = [&] {
        skip();
        std::uint32_t n = 0;
        const std::size_t digits = at_;
        for (; at_ < in_.size() && in_[at_] >= '0' && in_[at_] <= '9'; ++at_) {
            n = n * 10 + static_cast<std::uint32_t>(in_[at_] - '0');
            if (n > 1'000'000) refuse("a count above 1000000");
        }
        if (digits == at_) refuse("expected a count");
        return n;
    };
    if (take("*")) {
        least = 0, most = Rules::unbounded;
    } else if (take("+")) {
        most = Rules::unbounded;
    } else if (take("?")) {
        least = 0;
    } else if (take("{")) {
        least = most = number();
        if (take(",")) {
            most = Rules::unbounded;
            if (!take("}")) {
                most = number();
                if (!take("}")) refuse("'{' without its '}'");
            }
        } else if (!take("}")) {
            refuse("'{' without its '}'");
        }
        if (most < least) refuse("counts out of order");
    }
    if (least == 0 && most == 1) rules_.jump(from, to);
    if (least <= 1 && most == 1) {
        rules_.jump(from, start);
        return rules_.jump(end, to);
    }
    rules_.set_final(end);
    repeated_.emplace(start, begin);
    rules_.loop(from, {start, least, most, false}, to);
}

QWEN3VL_SUPPORT void EbnfReader::item(State from, State to) {
    skip();
    if (at_ >= in_.size()) refuse("the grammar ends within a rule");
    if (in_[at_] == '"') return text(from, to);
    if (in_[at_] == '[') return char_class(from, to);
    if (take("(")) {
        const std::size_t begin = at_;
        choice(from, to);
        if (!take(")")) refuse("'(' without its ')'", begin);
        return;
    }
    const std::string used = name();
    if (used.empty()) refuse("'" + std::string(in_.substr(at_, 1)) + "' is not expected here");
    rules_.call(from, rule(used).start, to);
}

QWEN3VL_SUPPORT void EbnfReader::text(State from, State to) {
    const std::size_t begin = at_++;
    std::string pattern;  // as a regular expression, whose escapes are the same
    while (at_ < in_.size() && in_[at_] != '"') {
        if (in_[at_] == '\\' && at_ + 1 < in_.size()) {
            constexpr std::string_view known = "nrt\"\\xu";
            if (known.find(in_[at_ + 1]) == std::string_view::npos)
                refuse("'" + std::string(in_.substr(at_, 2)) + "' is no escape of a text");
            pattern += in_[at_++];
        } else if (std::string_view("^$.*+?()[]{}|/").find(in_[at_]) != std::string_view::npos) {
            pattern += '\\';
        }
        pattern += in_[at_++];
    }
    if (at_++ >= in_.size()) refuse("a text without its closing quote", begin);
    State at = from;
    for (const RegexNode& c : RegexSyntax::parse(pattern, "grammar").children) {
        const State next = rules_.add_state();
        text_.characters(at, c.set, TextRules::Spelling::plain, next);
        at = next;
    }
    rules_.jump(at, to);
}

QWEN3VL_SUPPORT void EbnfReader::char_class(State from, State to) {
    const std::size_t begin = at_;
    for (++at_; at_ < in_.size() && in_[at_] != ']'; ++at_)
        if (in_[at_] == '\\') ++at_;
    if (at_ >= in_.size()) refuse("'[' without its ']'", begin);
    ++at_;
    const RegexNode tree = RegexSyntax::parse(in_.substr(begin, at_ - begin), "grammar");
    text_.characters(from, tree.children.at(0).set, TextRules::Spelling::plain, to);
}

QWEN3VL_SUPPORT void EbnfReader::refuse_empty_cycles() const {
    const auto again = rules_.empty_cycle();
    if (!again) return;
    if (const auto loop = repeated_.find(*again); loop != repeated_.end())
        refuse("a repetition of something that may be empty", loop->second);
    for (const auto& [n, r] : named_)
        if (r.start == *again) refuse("rule '" + n + "' may begin with itself; write it with * or +", r.used_at);
    throw GrammarError("grammar: a group may begin with itself");
}

#endif

}  // namespace qwen3vl::constrain
