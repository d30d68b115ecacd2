#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <qwen3vl/constrain/decimal.hpp>
#include <qwen3vl/constrain/regex_dfa.hpp>
#include <qwen3vl/constrain/text_rules.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Numbers between two bounds.
struct NumberRange {
    bool integer = false;                          ///< without a fraction
    std::optional<Decimal> least = {}, most = {};  ///< absent: none
    bool above = false, below = false;             ///< the bounds themselves are left out
    std::vector<std::uint32_t> multiples = {};     ///< all of which must divide an integer

    /// True if there is no such number, as far as the bounds tell.
    bool empty() const {
        if (!least || !most) return false;
        if (integer) return first() > last();
        return *least > *most || (*least == *most && (above || below));
    }
    /// True for a number of the range.
    bool holds(const Decimal& d) const;
    /// True if it has a bound.
    bool bounded() const { return least || most; }
    /// The smallest integer of the range; only with a lower bound.
    Decimal first() const { return above && least->integer() ? least->next() : least->ceil(); }
    /// The largest integer of the range; only with an upper bound.
    Decimal last() const { return below && most->integer() ? most->previous() : most->floor(); }
    /// Leaves what lies in another range too.
    void narrow(const NumberRange& other);
};

/// Spells numbers as texts of JSON. Integers have no fraction and no exponent. A number without bounds has at most 20
/// digits before and behind the point and an exponent of at most two. With bounds it has none, and at most 15 digits:
/// then readers that round to doubles find it on the same side of the bounds.
class NumberRules {
  public:
    static constexpr std::size_t digits_of_double = 15;  ///< decimal digits that every double tells apart

    /// Reads a number of the range. Throws GrammarError where that takes more than `limit` states, and as
    /// RegexDfa::compile.
    static void add(Rules& rules, State from, const NumberRange& range, State to, std::size_t limit,
                    std::uint64_t& work);

  private:
    using Bound = std::pair<Decimal, bool>;  ///< and whether it is left out itself
    static constexpr std::size_t free_digits = 20;

    /// Expressions of digit strings, without leading zeros, from `first` to `last`.
    static std::string whole_from_to(const std::string& first, const std::string& last);
    static std::string same_length(const std::string& first, const std::string& last);
    static std::string at_least(const Bound& b);
    static std::string at_most(const Bound& b);
    static CharDfa multiples_of(std::uint32_t n);
    static std::string digits(std::size_t n) { return n == 0 ? "" : "[0-9]{" + std::to_string(n) + "}"; }
    static std::string one_of(int first, int last) {
        return "[" + std::to_string(first) + "-" + std::to_string(last) + "]";
    }
    static std::string nines(std::size_t n) { return std::string(n, '9'); }
    static void either_sign(Rules& rules, State from, const NumberRange& range, bool negative, State to,
                            std::size_t limit, std::uint64_t& work);
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT bool NumberRange::holds(const Decimal& d) const {
    if (integer && !d.integer()) return false;
    if (least && (d < *least || (above && d == *least))) return false;
    if (most && (d > *most || (below && d == *most))) return false;
    for (const std::uint32_t m : multiples) {
        std::uint64_t rest = 0;
        for (const char c : d.whole) rest = (rest * 10 + static_cast<std::uint64_t>(c - '0')) % m;
        if (rest != 0) return false;
    }
    return true;
}

QWEN3VL_SUPPORT void NumberRange::narrow(const NumberRange& o) {
    integer = integer || o.integer;
    if (o.least && (!least || *o.least > *least || (*o.least == *least && o.above))) {
        least = o.least;
        above = o.above;
    }
    if (o.most && (!most || *o.most < *most || (*o.most == *most && o.below))) {
        most = o.most;
        below = o.below;
    }
    multiples.insert(multiples.end(), o.multiples.begin(), o.multiples.end());
}

/// Numbers of as many digits: up to where the bounds part, one of the digits between, or along a bound.
QWEN3VL_SUPPORT std::string NumberRules::same_length(const std::string& first, const std::string& last) {
    std::size_t common = 0;
    while (common < first.size() && first[common] == last[common]) ++common;
    if (common == first.size()) return first;
    const std::size_t n = first.size();
    std::string out = first + "|" + last;
    const auto add = [&](const std::string& prefix, int low, int high, std::size_t rest) {
        if (low <= high) out += "|" + prefix + one_of(low, high) + digits(rest);
    };
    add(first.substr(0, common), first[common] - '0' + 1, last[common] - '0' - 1, n - common - 1);
    for (std::size_t i = common + 1; i < n; ++i) {
        add(first.substr(0, i), first[i] - '0' + 1, 9, n - i - 1);
        add(last.substr(0, i), 0, last[i] - '0' - 1, n - i - 1);
    }
    return out;
}

QWEN3VL_SUPPORT std::string NumberRules::whole_from_to(const std::string& first, const std::string& last) {
    if (first.size() == last.size()) return same_length(first, last);
    std::string out = same_length(first, nines(first.size()));
    const bool whole = last == nines(last.size());  // of all numbers of as many digits
    const std::size_t longest = whole ? last.size() : last.size() - 1;
    if (first.size() < longest)
        out += "|[1-9][0-9]{" + std::to_string(first.size()) + "," + std::to_string(longest - 1) + "}";
    return whole ? out : out + "|" + same_length("1" + std::string(last.size() - 1, '0'), last);
}

QWEN3VL_SUPPORT std::string NumberRules::at_least(const Bound& b) {
    const auto& [d, left_out] = b;
    const std::string larger = Decimal{false, d.whole, {}}.next().whole;
    std::string out =
        "(?:" + whole_from_to(larger, nines(std::max(larger.size(), digits_of_double))) + ")(?:\\.[0-9]+)?|";
    out += d.whole;
    if (d.fraction.empty()) return out + (left_out ? "\\.0*[1-9][0-9]*" : "(?:\\.[0-9]+)?");
    out += "\\.(?:" + d.fraction + (left_out ? "0*[1-9][0-9]*" : "[0-9]*");
    for (std::size_t i = 0; i < d.fraction.size(); ++i)
        if (d.fraction[i] < '9') out += "|" + d.fraction.substr(0, i) + one_of(d.fraction[i] - '0' + 1, 9) + "[0-9]*";
    return out + ")";
}

QWEN3VL_SUPPORT std::string NumberRules::at_most(const Bound& b) {
    const auto& [d, left_out] = b;
    std::string out = "[]";  // nothing
    if (d.whole != "0")
        out = "(?:" + whole_from_to("0", Decimal{false, d.whole, {}}.previous().whole) + ")(?:\\.[0-9]+)?";
    if (d.fraction.empty()) return left_out ? out : out + "|" + d.whole + "(?:\\.0+)?";
    out += "|" + d.whole + "(?:\\.(?:" + (left_out ? "[]" : d.fraction + "0*");
    for (std::size_t i = 0; i < d.fraction.size(); ++i) {
        if (i > 0) out += "|" + d.fraction.substr(0, i);
        if (d.fraction[i] > '0') out += "|" + d.fraction.substr(0, i) + one_of(0, d.fraction[i] - '0' - 1) + "[0-9]*";
    }
    return out + "))?";
}

QWEN3VL_SUPPORT CharDfa NumberRules::multiples_of(std::uint32_t n) {
    std::vector<CodePointSet> sets;
    for (char32_t c = '0'; c <= '9'; ++c) sets.push_back(CodePointSet::one(c));
    CharClasses classes(sets);
    const auto width = static_cast<std::size_t>(classes.count());
    std::vector<int> next((n + 1) * width, CharDfa::dead);  // state 0: no digit yet; 1 + rest
    std::vector<bool> accepts(n + 1);
    accepts[1] = true;
    for (std::uint32_t state = 0; state <= n; ++state)
        for (std::uint32_t digit = 0; digit < 10; ++digit) {
            const std::uint32_t rest = ((state == 0 ? 0 : state - 1) * 10 + digit) % n;
            next[state * width + static_cast<std::size_t>(classes.of(U'0' + digit))] = static_cast<int>(rest) + 1;
        }
    return CharDfa(std::move(classes), std::move(next), std::move(accepts));
}

/// Reads the magnitude of the range's numbers of one sign.
QWEN3VL_SUPPORT void NumberRules::either_sign(Rules& rules, State from, const NumberRange& range, bool negative,
                                              State to, std::size_t limit, std::uint64_t& work) {
    std::optional<Bound> least, most;
    if (range.least) least = Bound(range.least->negated(), range.above);
    if (range.most) most = Bound(range.most->negated(), range.below);
    std::swap(least, most);
    if (!negative) {
        least = most = std::nullopt;
        if (range.least) least = Bound(*range.least, range.above);
        if (range.most) most = Bound(*range.most, range.below);
    }
    if (most && (most->first.negative || (negative && most->first.zero()))) return;
    if (negative && (!least || least->first.negative)) least = Bound(Decimal{}, true);  // no "-0"
    if (least && least->first.negative) least.reset();
    const auto compiled = [&](const std::string& pattern) {
        return RegexDfa::compile(pattern, RegexDfa::Match::whole, limit, "number", work);
    };
    CharDfa dfa;
    if (range.integer) {
        NumberRange magnitude{true, {}, {}, false, false, {}};
        if (least) std::tie(magnitude.least, magnitude.above) = *least;
        if (most) std::tie(magnitude.most, magnitude.below) = *most;
        const Decimal first = least ? magnitude.first() : Decimal{};
        const Decimal last =
            most ? magnitude.last() : Decimal{false, nines(std::max(free_digits, first.whole.size() + 1)), {}};
        if (first > last) return;
        dfa = compiled(whole_from_to(first.whole, last.whole));
        for (const std::uint32_t m : range.multiples) dfa = dfa.intersected(multiples_of(m), limit);
    } else {
        std::string shape;
        for (std::size_t n = 1; n <= digits_of_double; ++n) {
            shape += std::string(n == 1 ? "[0-9]" : "|[1-9]") + digits(n - 1);
            if (n < digits_of_double) shape += "(?:\\.[0-9]{1," + std::to_string(digits_of_double - n) + "})?";
        }
        if (least && least->first.whole.size() > digits_of_double) return;
        if (most && most->first.whole.size() > digits_of_double) most.reset();
        dfa = compiled(shape);
        if (least) dfa = dfa.intersected(compiled(at_least(*least)), limit);
        if (most) dfa = dfa.intersected(compiled(at_most(*most)), limit);
    }
    TextRules(rules).strings(from, dfa, TextRules::Spelling::plain, to);
}

QWEN3VL_SUPPORT void NumberRules::add(Rules& rules, State from, const NumberRange& range, State to, std::size_t limit,
                                      std::uint64_t& work) {
    if (!range.integer && !range.bounded()) {
        const std::string whole = "-?(?:0|[1-9][0-9]{0,19})";
        TextRules(rules).strings(from,
                                 RegexDfa::compile(whole + "(?:\\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?",
                                                   RegexDfa::Match::whole, limit, "number", work),
                                 TextRules::Spelling::plain, to);
        return;
    }
    either_sign(rules, from, range, false, to, limit, work);
    const State minus = rules.add_state();
    rules.literal(from, "-", minus);
    either_sign(rules, minus, range, true, to, limit, work);
}

#endif

}  // namespace qwen3vl::constrain
