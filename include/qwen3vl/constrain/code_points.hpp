#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// A set of Unicode scalar values (code points that are no surrogates), as sorted ranges that do not touch.
class CodePointSet {
  public:
    /// Code points from `first` to `last`.
    struct Range {
        char32_t first, last;                           ///< inclusive
        bool operator==(const Range&) const = default;  ///< equal ends
    };
    static constexpr char32_t last_point = 0x10FFFF;  ///< the last code point there is

    /// An empty set.
    CodePointSet() = default;
    /// The scalar values of these ranges, which may overlap and stand in any order.
    explicit CodePointSet(std::vector<Range> ranges) {
        std::sort(ranges.begin(), ranges.end(), [](Range a, Range b) { return a.first < b.first; });
        for (const Range& r : ranges) {
            add({r.first, std::min<char32_t>(r.last, first_surrogate - 1)});
            add({std::max<char32_t>(r.first, last_surrogate + 1), std::min(r.last, last_point)});
        }
    }
    /// All scalar values.
    static CodePointSet all() { return CodePointSet({{0, last_point}}); }
    /// The set of one.
    static CodePointSet one(char32_t c) { return CodePointSet({{c, c}}); }

    /// The ranges, in order.
    const std::vector<Range>& ranges() const { return ranges_; }
    /// True if it holds none.
    bool empty() const { return ranges_.empty(); }
    bool operator==(const CodePointSet&) const = default;  ///< the same scalar values
    /// True if it holds `c`.
    bool contains(char32_t c) const {
        const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), c,
                                            [](char32_t value, const Range& r) { return value < r.first; });
        return after != ranges_.begin() && c <= std::prev(after)->last;
    }
    /// The scalar values that it does not hold.
    CodePointSet complement() const {
        std::vector<Range> rest;
        char32_t next = 0;
        for (const Range& r : ranges_) {
            if (r.first > next) rest.push_back({next, r.first - 1});
            next = r.last + 1;
        }
        if (next <= last_point) rest.push_back({next, last_point});
        return CodePointSet(std::move(rest));
    }
    /// The scalar values that either holds.
    CodePointSet united(const CodePointSet& other) const {
        std::vector<Range> both = ranges_;
        both.insert(both.end(), other.ranges_.begin(), other.ranges_.end());
        return CodePointSet(std::move(both));
    }
    /// The scalar values that both hold.
    CodePointSet intersected(const CodePointSet& other) const {
        CodePointSet out;
        for (auto a = ranges_.begin(), b = other.ranges_.begin(); a != ranges_.end() && b != other.ranges_.end();) {
            const Range both{std::max(a->first, b->first), std::min(a->last, b->last)};
            if (both.first <= both.last) out.ranges_.push_back(both);
            (a->last < b->last) ? ++a : ++b;
        }
        return out;
    }

  private:
    static constexpr char32_t first_surrogate = 0xD800, last_surrogate = 0xDFFF;

    /// Appends a range that begins at or behind the first of the last one.
    void add(Range r) {
        if (r.first > r.last) return;
        if (!ranges_.empty() && r.first <= ranges_.back().last + 1)
            ranges_.back().last = std::max(ranges_.back().last, r.last);
        else
            ranges_.push_back(r);
    }
    std::vector<Range> ranges_;
};

/// Bytes from `first` to `last`, at one place of a UTF-8 sequence.
struct ByteRange {
    std::uint8_t first = 0, last = 0;  ///< inclusive
};

/// UTF-8 sequences of a range of code points of equal length, each byte of which has a range of its own.
struct ByteSequence {
    std::array<ByteRange, 4> bytes{};  ///< of which `length` count
    std::size_t length = 0;            ///< 1 to 4
};

/// Cuts a range of scalar values into as few byte sequences as describe it exactly, in ascending order. A range of the
/// whole of Unicode has nine.
void append_utf8_sequences(CodePointSet::Range range, std::vector<ByteSequence>& out);

/// The byte sequences of a set.
inline std::vector<ByteSequence> utf8_sequences(const CodePointSet& set) {
    std::vector<ByteSequence> out;
    for (const auto& r : set.ranges()) append_utf8_sequences(r, out);
    return out;
}

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT void append_utf8_sequences(CodePointSet::Range range, std::vector<ByteSequence>& out) {
    const auto [first, last] = range;
    for (const char32_t limit : {U'\x7F', U'\x7FF', U'\xFFFF'})  // the last code point of 1, 2 and 3 bytes
        if (first <= limit && last > limit) {
            append_utf8_sequences({first, limit}, out);
            return append_utf8_sequences({limit + 1, last}, out);
        }
    const std::size_t length = last <= 0x7F ? 1 : last <= 0x7FF ? 2 : last <= 0xFFFF ? 3 : 4;
    // Below a byte in which the ends differ, either end has to span all continuation bytes.
    for (std::size_t i = 1; i < length; ++i) {
        const char32_t low = (char32_t{1} << (6 * i)) - 1;
        if ((first & ~low) == (last & ~low)) continue;
        if ((first & low) != 0) {
            append_utf8_sequences({first, first | low}, out);
            return append_utf8_sequences({(first | low) + 1, last}, out);
        }
        if ((last & low) != low) {
            append_utf8_sequences({first, (last & ~low) - 1}, out);
            return append_utf8_sequences({last & ~low, last}, out);
        }
    }
    constexpr std::uint8_t lead[] = {0x00, 0xC0, 0xE0, 0xF0};
    ByteSequence s;
    s.length = length;
    for (std::size_t i = 0; i < length; ++i) {
        const auto byte = [&](char32_t c) {
            const char32_t bits = c >> (6 * (length - 1 - i));
            return static_cast<std::uint8_t>(i == 0 ? lead[length - 1] | bits : 0x80 | (bits & 0x3F));
        };
        s.bytes[i] = {byte(first), byte(last)};
    }
    out.push_back(s);
}

#endif

}  // namespace qwen3vl::constrain
