#pragma once
#include <array>
#include <cstddef>
#include <map>
#include <qwen3vl/constrain/char_dfa.hpp>
#include <qwen3vl/constrain/rules.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Text as JSON spells it between quotes: quotes, backslashes and control characters are escaped, nothing else is.
std::string json_escaped(std::string_view text);

/// Adds characters and sets of strings to Rules, in UTF-8; as they are, or as JSON spells them in a string.
class TextRules {
  public:
    /// Text as it is, or as JSON spells it.
    enum class Spelling { plain, json };

    /// The rules must outlive it.
    explicit TextRules(Rules& rules) : rules_(&rules) {}

    /// Reads one character of the set.
    void characters(State from, const CodePointSet& set, Spelling spelling, State to);
    /// Reads a string of the set. In JSON the closing quote too.
    void strings(State from, const CharDfa& dfa, Spelling spelling, State to);
    /// Reads from `least` to `most` characters of a JSON string, spelled in any way, and the closing quote.
    void json_string(State from, std::uint32_t least, std::uint32_t most, State to) {
        const State end = rules_->add_state();
        rules_->loop(from, {json_char(), least, most, true}, end);
        rules_->literal(end, "\"", to);
    }

  private:
    using Ranges = std::vector<std::pair<char32_t, char32_t>>;

    State json_char();
    /// States from where any characters can be read that need no escape.
    static std::vector<bool> text_states(const CharDfa& dfa, const std::vector<CodePointSet>& parts);
    /// A rule that reads one of these characters, each of more than a byte.
    State longer_characters(const CodePointSet& set, Spelling spelling);
    void sequences(State from, std::span<const ByteSequence> list, std::size_t depth, State to);

    Rules* rules_;
    std::map<std::pair<Spelling, Ranges>, State> known_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::string json_escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        constexpr std::string_view short_escapes = "\"\"\\\\\bb\ff\nn\rr\tt";
        const auto byte = static_cast<unsigned char>(c);
        std::size_t at = std::string_view::npos;
        for (std::size_t i = 0; i < short_escapes.size(); i += 2)
            if (short_escapes[i] == c) at = i + 1;
        if (at != std::string_view::npos) {
            out += '\\';
            out += short_escapes[at];
        } else if (byte < 0x20) {
            out += "\\u00";
            out += "01"[byte >> 4];
            out += "0123456789abcdef"[byte & 15];
        } else {
            out += c;
        }
    }
    return out;
}

QWEN3VL_SUPPORT State TextRules::json_char() {
    if (rules_->json_char != Rules::unbounded) return rules_->json_char;
    const State start = rules_->add_state(), end = rules_->add_state(true), escape = rules_->add_state();
    const auto byte = [&](State from, char first, char last, State to) {
        rules_->bytes(from, {static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(last)}, to);
    };
    rules_->json_char = start;
    byte(start, ' ', '!', end);
    byte(start, '#', '[', end);
    byte(start, ']', '\x7F', end);
    // here and not in a rule of their own: Automaton::text_room knows this state alone
    sequences(start, utf8_sequences(CodePointSet({{0x80, CodePointSet::last_point}})), 0, end);
    byte(start, '\\', '\\', escape);
    for (const char c : std::string_view("\"\\/bfnrt")) byte(escape, c, c, end);
    // \uHHHH without surrogates, or a pair of them; either is one character
    const auto digits = [&](State from, std::string_view allowed, State to) {
        for (const char c : allowed) byte(from, c, c, to);
    };
    constexpr std::string_view hex = "0123456789abcdefABCDEF";
    const State first = rules_->add_state(), second = rules_->add_state(), third = rules_->add_state(),
                fourth = rules_->add_state(), of_d = rules_->add_state();
    byte(escape, 'u', 'u', first);
    digits(first, "0123456789abcefABCEF", second);
    digits(first, "dD", of_d);
    digits(second, hex, third);
    digits(of_d, "01234567", third);
    digits(third, hex, fourth);
    digits(fourth, hex, end);
    State at = rules_->add_state();
    digits(of_d, "89abAB", at);
    for (int i = 0; i < 2; ++i) {
        const State next = rules_->add_state();
        digits(at, hex, next);
        at = next;
    }
    at = rules_->literal(at, "\\u");
    for (const std::string_view allowed : {std::string_view("dD"), std::string_view("cdefCDEF"), hex}) {
        const State next = rules_->add_state();
        digits(at, allowed, next);
        at = next;
    }
    digits(at, hex, end);
    return start;
}

QWEN3VL_SUPPORT void TextRules::sequences(State from, std::span<const ByteSequence> list, std::size_t depth, State to) {
    const auto same = [&](const ByteSequence& a, const ByteSequence& b) {
        return a.length == b.length && a.bytes[depth].first == b.bytes[depth].first &&
               a.bytes[depth].last == b.bytes[depth].last;
    };
    for (std::size_t begin = 0; begin < list.size();) {
        std::size_t end = begin + 1;
        while (end < list.size() && same(list[begin], list[end])) ++end;
        if (list[begin].length == depth + 1) {
            rules_->bytes(from, list[begin].bytes[depth], to);
        } else {
            const State next = rules_->add_state();
            rules_->bytes(from, list[begin].bytes[depth], next);
            sequences(next, list.subspan(begin, end - begin), depth + 1, to);
        }
        begin = end;
    }
}

QWEN3VL_SUPPORT State TextRules::longer_characters(const CodePointSet& set, Spelling spelling) {
    Ranges key;
    for (const auto& r : set.ranges()) key.emplace_back(r.first, r.last);
    const auto [known, is_new] = known_.emplace(std::pair(spelling, std::move(key)), 0);
    if (!is_new) return known->second;
    const State start = known->second = rules_->add_state(), end = rules_->add_state(true);
    std::vector<ByteSequence> list;
    for (const auto& r : set.ranges()) {
        if (r.last >= 0x80) append_utf8_sequences({std::max(r.first, char32_t{0x80}), r.last}, list);
        for (char32_t c = r.first; c < 0x80 && c <= r.last; ++c) {
            const char byte = static_cast<char>(c);
            rules_->literal(start, json_escaped(std::string_view(&byte, 1)), end);
        }
    }
    sequences(start, list, 0, end);
    return start;
}

QWEN3VL_SUPPORT void TextRules::characters(State from, const CodePointSet& set, Spelling spelling, State to) {
    static const CodePointSet escaped({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
    const CodePointSet ascii({{0, 0x7F}});
    const CodePointSet single =
        set.intersected(spelling == Spelling::json ? ascii.intersected(escaped.complement()) : ascii);
    for (const auto& r : single.ranges())
        rules_->bytes(from, {static_cast<std::uint8_t>(r.first), static_cast<std::uint8_t>(r.last)}, to);
    const CodePointSet rest = set.intersected(single.complement());
    if (!rest.empty()) rules_->call(from, longer_characters(rest, spelling), to);
}

QWEN3VL_SUPPORT std::vector<bool> TextRules::text_states(const CharDfa& dfa, const std::vector<CodePointSet>& parts) {
    const CodePointSet plain = CodePointSet({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}).complement();
    std::vector<int> classes;
    for (int c = 0; c < dfa.classes().count(); ++c)
        if (!parts[static_cast<std::size_t>(c)].intersected(plain).empty()) classes.push_back(c);
    std::vector<bool> text(static_cast<std::size_t>(dfa.states()), true);
    bool changed = true;
    for (int pass = 0; changed; ++pass) {
        if (pass == 20) return std::vector<bool>(text.size());  // hostile: it is only a matter of speed
        changed = false;
        for (int s = dfa.states(); s-- > 0;) {
            const auto stays = [&](int c) {
                const int to = dfa.next(s, c);
                return to != CharDfa::dead && text[static_cast<std::size_t>(to)];
            };
            if (!text[static_cast<std::size_t>(s)] || std::all_of(classes.begin(), classes.end(), stays)) continue;
            text[static_cast<std::size_t>(s)] = false;
            changed = true;
        }
    }
    return text;
}

QWEN3VL_SUPPORT void TextRules::strings(State from, const CharDfa& dfa, Spelling spelling, State to) {
    if (dfa.empty()) return;
    std::vector<State> states;
    for (int s = 0; s < dfa.states(); ++s) states.push_back(rules_->add_state());
    rules_->jump(from, states[0]);
    const auto parts = dfa.classes().sets();
    const auto text = text_states(dfa, parts);
    const auto end = [&](State s) {
        if (spelling == Spelling::json)
            rules_->literal(s, "\"", to);
        else
            rules_->jump(s, to);
    };
    for (int s = 0; s < dfa.states(); ++s) {
        const State here = states[static_cast<std::size_t>(s)];
        if (spelling == Spelling::json && dfa.universal(s)) {
            json_string(here, 0, Rules::unbounded, to);
            continue;
        }
        if (dfa.accepting(s)) end(here);
        if (text[static_cast<std::size_t>(s)]) rules_->set_text(here);
        std::map<int, std::vector<CodePointSet::Range>> by_target;
        for (int c = 0; c < dfa.classes().count(); ++c)
            if (const int next = dfa.next(s, c); next != CharDfa::dead) {
                const auto& ranges = parts[static_cast<std::size_t>(c)].ranges();
                auto& into = by_target[next];
                into.insert(into.end(), ranges.begin(), ranges.end());
            }
        for (auto& [next, ranges] : by_target)
            characters(here, CodePointSet(std::move(ranges)), spelling, states[static_cast<std::size_t>(next)]);
    }
}

#endif

}  // namespace qwen3vl::constrain
