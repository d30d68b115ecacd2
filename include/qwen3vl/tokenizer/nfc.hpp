#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/tokenizer/utf8.hpp>
#include <string>
#include <string_view>
#include <vector>

#include <utf8proc.h>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Unicode normalisation form C (UAX #15) as the reference has it: by the tables of Unicode 9 (the Rust crate
/// unicode-normalization-alignments).
///
/// utf8proc decomposes and composes. Combining marks are ordered in between by a stable sort, because utf8proc's own is
/// quadratic in the number of marks on one letter.
class Nfc {
  public:
    /// Normalises valid UTF-8. O(n log n). Throws TokenizerError where utf8proc refuses a code point.
    static std::string normalise(std::string_view text) {
        const auto beyond_latin = [](char b) { return static_cast<unsigned char>(b) >= 0xCC; };
        if (std::none_of(text.begin(), text.end(), beyond_latin))
            return std::string(text);  // nothing below U+0300 changes
        std::string out;
        out.reserve(text.size());
        std::vector<utf8proc_int32_t> points;
        for (std::size_t at = 0; at < text.size();) {
            const char32_t c = next_code_point(text, at);
            if (stands_apart(c)) {
                compose(points, out);
                append_utf8(out, c);
            } else {
                decompose(c, points);
            }
        }
        compose(points, out);
        return out;
    }

  private:
    static void decompose(char32_t c, std::vector<utf8proc_int32_t>& points) {
        utf8proc_int32_t parts[8];  // no canonical decomposition is longer than 4
        const auto count =
            utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 8, UTF8PROC_DECOMPOSE, nullptr);
        if (count < 0 || count > 8)
            throw TokenizerError("NFC: cannot decompose code point " + std::to_string(static_cast<std::uint32_t>(c)));
        points.insert(points.end(), parts, parts + count);
    }
    /// Orders the marks of decomposed text, composes it, appends it to `out` and clears it.
    static void compose(std::vector<utf8proc_int32_t>& points, std::string& out) {
        const auto combining_class = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
        for (auto first = points.begin(); first != points.end();) {
            const auto last = std::find_if(first, points.end(), [&](auto c) { return combining_class(c) == 0; });
            std::stable_sort(first, last, [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
            first = last == points.end() ? last : last + 1;
        }
        const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        const auto count =
            utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()), options);
        if (count < 0) throw TokenizerError("NFC: " + std::string(utf8proc_errmsg(count)));
        points.resize(static_cast<std::size_t>(count));
        for (const auto c : points) append_utf8(out, static_cast<char32_t>(c));
        points.clear();
    }

    /// True if a version of Unicode after 9 gave the code point a special role in normalisation. The reference composes
    /// it with nothing, nor the texts before and after it with each other. These are combining marks of a class other
    /// than 0, and scripts with compositions of their own, up to Unicode 17. Also U+11A7, which composes with nothing,
    /// but which utf8proc 2.8 takes for an empty final consonant of Hangul and drops.
    static bool stands_apart(char32_t c) {
        struct Range {
            char32_t first, last;
        };
        static constexpr Range ranges[] = {
            {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
            {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x11A7, 0x11A7},   {0x1715, 0x1715},   {0x1ABF, 0x1AEB},
            {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x105C9, 0x105E4}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D},
            {0x10EAB, 0x10EAC}, {0x10EFA, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070},
            {0x1133B, 0x1133B}, {0x11382, 0x113E2}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11943},
            {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D45},
            {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x1611E, 0x1612F}, {0x16D63, 0x16D6A}, {0x16FF0, 0x16FF1},
            {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
            {0x1E5EE, 0x1E5EF}, {0x1E6E3, 0x1E6F5},
        };
        if (c < ranges[0].first) return false;
        const auto* after = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                             [](char32_t value, const Range& r) { return value < r.first; });
        return after != std::begin(ranges) && c <= (after - 1)->last;
    }
};

}  // namespace qwen3vl::tokenizer
