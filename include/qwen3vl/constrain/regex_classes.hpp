#pragma once
#include <qwen3vl/constrain/regex_syntax.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::optional<CodePointSet> RegexSyntax::category(std::string_view name) {
    constexpr std::string_view names =
        "CnLuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCsCo";  // as utf8proc counts
    struct Run {
        char32_t first;
        int category;
    };
    static const std::vector<Run> runs = [] {
        std::vector<Run> out;
        for (char32_t c = 0; c <= CodePointSet::last_point; ++c) {
            const auto category = static_cast<int>(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
            if (out.empty() || out.back().category != category) out.push_back({c, category});
        }
        return out;
    }();
    if (name.empty() || name.size() > 2) return std::nullopt;
    bool known = false;
    for (std::size_t i = 0; i < names.size(); i += 2) known = known || names.substr(i, 2).starts_with(name);
    if (!known) return std::nullopt;
    std::vector<CodePointSet::Range> ranges;
    for (std::size_t i = 0; i < runs.size(); ++i)
        if (names.substr(2 * static_cast<std::size_t>(runs[i].category), 2).starts_with(name))
            ranges.push_back({runs[i].first, i + 1 < runs.size() ? runs[i + 1].first - 1 : CodePointSet::last_point});
    return CodePointSet(std::move(ranges));
}

QWEN3VL_SUPPORT char32_t RegexSyntax::hex(int least, int most) {
    char32_t value = 0;
    int digits = 0;
    for (; digits < most && !done(); ++digits, ++at_) {
        const char c = in_[at_];
        const int d = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
        if (d < 0) break;
        value = value * 16 + static_cast<char32_t>(d);
    }
    if (digits < least) refuse("too few hexadecimal digits");
    return value;
}

QWEN3VL_SUPPORT CodePointSet RegexSyntax::escape(bool in_class, bool in_negated) {
    using Set = CodePointSet;
    ++at_;
    if (done()) refuse("'\\' at the end");
    const char c = in_[at_];
    const auto known = [&](Set set) {
        ++at_;
        return set;
    };
    const auto of = [](std::string_view name) { return *category(name); };
    // What every dialect counts, and what any does; a negated class takes the one for the other.
    const auto shorthand = [&](const Set& narrow, const Set& wide, bool complement) {
        if (complement) return known((in_negated ? narrow : wide).complement());
        return known(in_negated ? wide : narrow);
    };
    const Set ascii_digits({{'0', '9'}}), ascii_word({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
    switch (c) {
        case 'd':
        case 'D': return shorthand(ascii_digits, of("Nd"), c == 'D');
        case 'w':
        case 'W':
            return shorthand(ascii_word, of("L").united(of("N")).united(of("M")).united(of("Pc")).united(ascii_word),
                             c == 'W');
        case 's':
        case 'S': {
            const Set spaces = Set({{'\t', '\r'}, {' ', ' '}, {0x2028, 0x2029}}).united(of("Zs"));
            const Set others({{0x1C, 0x1F}, {0x85, 0x85}, {0x180E, 0x180E}, {0xFEFF, 0xFEFF}});
            return shorthand(spaces, spaces.united(others), c == 'S');
        }
        case 't': return known(Set::one('\t'));
        case 'n': return known(Set::one('\n'));
        case 'r': return known(Set::one('\r'));
        case 'f': return known(Set::one('\f'));
        case 'v': return known(Set::one('\v'));
        case '0': return known(Set::one(0));
        case 'x': ++at_; return Set::one(hex(2, 2));
        case 'u': {
            ++at_;
            const bool braced = take("{");
            char32_t value = braced ? hex(1, 6) : hex(4, 4);
            if (braced && !take("}")) refuse("'\\u{' without its '}'");
            if (!braced && value >= 0xD800 && value < 0xDC00 && take("\\u")) {  // a pair of surrogates
                const char32_t low = hex(4, 4);
                if (low < 0xDC00 || low > 0xDFFF) refuse("half of a surrogate pair");
                value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
            }
            if (value > Set::last_point || (value >= 0xD800 && value <= 0xDFFF)) refuse("no code point");
            return Set::one(value);
        }
        case 'p':
        case 'P': {
            const auto end = in_.substr(at_ + 1).starts_with('{') ? in_.find('}', at_) : std::string_view::npos;
            if (end == std::string_view::npos) refuse("'\\p' needs a general category in braces");
            const std::string name(in_.substr(at_ + 2, end - at_ - 2));
            auto set = category(name);
            if (!set) refuse("'\\p{" + name + "}' is not supported; general categories are, such as \\p{L} or \\p{Lu}");
            at_ = end + 1;
            return c == 'P' ? set->complement() : *set;
        }
        case 'b':
            if (in_class) return known(Set::one('\b'));
            refuse("word boundaries '\\b' are not supported");
        case 'B': refuse("word boundaries '\\B' are not supported");
        case 'k': refuse("back-references are not supported");
        default: break;
    }
    if (c >= '1' && c <= '9') refuse("back-references are not supported");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) refuse(std::string("'\\") + c + "' is not supported");
    return Set::one(tokenizer::next_code_point(in_, at_));
}

QWEN3VL_SUPPORT CodePointSet RegexSyntax::char_class() {
    std::vector<CodePointSet::Range> ranges;
    const bool negated = take("^");
    const auto single = [](const CodePointSet& s) {
        return s.ranges().size() == 1 && s.ranges()[0].first == s.ranges()[0].last;
    };
    const auto item = [&] {
        if (ahead("\\")) return escape(true, negated);
        return CodePointSet::one(tokenizer::next_code_point(in_, at_));
    };
    while (!take("]")) {
        if (done()) refuse("'[' without its ']'");
        if (ahead("[:")) refuse("'[:' is not supported; write \\[ for the character");
        const CodePointSet first = item();
        if (ahead("-") && !ahead("-]")) {
            ++at_;
            if (done()) refuse("'[' without its ']'");
            const CodePointSet last = item();
            if (!single(first) || !single(last) || first.ranges()[0].first > last.ranges()[0].first)
                refuse("a range of a class needs two characters in order");
            ranges.push_back({first.ranges()[0].first, last.ranges()[0].first});
        } else {
            ranges.insert(ranges.end(), first.ranges().begin(), first.ranges().end());
        }
    }
    const CodePointSet set(std::move(ranges));
    return negated ? set.complement() : set;
}

#endif

}  // namespace qwen3vl::constrain
