#pragma once
#include <algorithm>
#include <compare>
#include <cstddef>
#include <optional>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// An exact decimal number of JSON.
struct Decimal {
    bool negative = false;    ///< never for zero
    std::string whole = "0";  ///< without leading zeros
    std::string fraction;     ///< without zeros at its end

    /// True for 0.
    bool zero() const { return whole == "0" && fraction.empty(); }
    /// True where it has no fraction.
    bool integer() const { return fraction.empty(); }
    /// Without its sign.
    Decimal magnitude() const { return {false, whole, fraction}; }
    /// With the other sign.
    Decimal negated() const { return {!negative && !zero(), whole, fraction}; }
    bool operator==(const Decimal&) const = default;  ///< the same number
    /// Compares by value.
    std::strong_ordering operator<=>(const Decimal& other) const {
        if (negative != other.negative) return negative ? std::strong_ordering::less : std::strong_ordering::greater;
        const auto order = compare_magnitude(other);
        return negative ? 0 <=> order : order;
    }
    /// As JSON spells it, without an exponent.
    std::string text() const { return (negative ? "-" : "") + whole + (fraction.empty() ? "" : "." + fraction); }

    /// Reads a number as JSON spells it (valid). Nothing where it would have more than 400 digits.
    static std::optional<Decimal> parse(std::string_view spelled);
    /// The largest integer that is not above it.
    Decimal floor() const {
        Decimal d{negative, whole, {}};
        if (!integer() && negative) d.whole = plus_one(whole);
        return d;
    }
    /// The smallest integer that is not below it.
    Decimal ceil() const { return negated().floor().negated(); }
    /// One more; of an integer.
    Decimal next() const {
        if (!negative) return {false, plus_one(whole), {}};
        Decimal d{true, minus_one(whole), {}};
        d.negative = !d.zero();
        return d;
    }
    /// One less; of an integer.
    Decimal previous() const { return negated().next().negated(); }

  private:
    std::strong_ordering compare_magnitude(const Decimal& other) const {
        if (whole.size() != other.whole.size()) return whole.size() <=> other.whole.size();
        if (const int order = whole.compare(other.whole)) return order <=> 0;
        return fraction.compare(other.fraction) <=> 0;
    }
    static std::string plus_one(std::string digits) {
        std::size_t i = digits.size();
        while (i > 0 && digits[i - 1] == '9') digits[--i] = '0';
        if (i == 0) return "1" + digits;
        ++digits[i - 1];
        return digits;
    }
    static std::string minus_one(std::string digits) {
        std::size_t i = digits.size();
        while (i > 0 && digits[i - 1] == '0') digits[--i] = '9';
        if (i > 0) --digits[i - 1];
        const std::size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
        return digits.substr(first);
    }
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::optional<Decimal> Decimal::parse(std::string_view spelled) {
    constexpr long most = 400;
    Decimal d;
    std::string digits;
    long point = 0;  // digits before the point
    std::size_t at = 0;
    if (at < spelled.size() && spelled[at] == '-') {
        d.negative = true;
        ++at;
    }
    bool whole = true;
    for (; at < spelled.size() && spelled[at] != 'e' && spelled[at] != 'E'; ++at) {
        if (spelled[at] == '.') {
            whole = false;
        } else {
            digits += spelled[at];
            point += whole;
        }
    }
    if (at < spelled.size()) {
        ++at;
        const bool minus = at < spelled.size() && spelled[at] == '-';
        if (at < spelled.size() && (spelled[at] == '-' || spelled[at] == '+')) ++at;
        long exponent = 0;
        for (; at < spelled.size(); ++at) exponent = std::min(exponent * 10 + (spelled[at] - '0'), 100'000L);
        point += minus ? -exponent : exponent;
    }
    if (digits.find_first_not_of('0') == std::string::npos) return Decimal{};
    if (static_cast<long>(digits.size()) > most || point > most || point < -most) return std::nullopt;
    if (point <= 0) {
        digits.insert(0, static_cast<std::size_t>(1 - point), '0');
        point = 1;
    }
    if (static_cast<long>(digits.size()) < point) digits.append(static_cast<std::size_t>(point) - digits.size(), '0');
    d.whole = digits.substr(0, static_cast<std::size_t>(point));
    d.fraction = digits.substr(static_cast<std::size_t>(point));
    d.whole.erase(0, std::min(d.whole.find_first_not_of('0'), d.whole.size() - 1));
    while (!d.fraction.empty() && d.fraction.back() == '0') d.fraction.pop_back();
    return d;
}

#endif

}  // namespace qwen3vl::constrain
