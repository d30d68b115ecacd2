#pragma once
#include <cstddef>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// U+FFFD in UTF-8, in place of bytes that are no UTF-8.
inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// Appends one code point in UTF-8. The caller passes a scalar value (no surrogate, at most 0x10FFFF).
inline void append_utf8(std::string& out, char32_t c) {
    const auto byte = [&](char32_t b) { out.push_back(static_cast<char>(static_cast<unsigned char>(b))); };
    if (c < 0x80) return byte(c);
    if (c < 0x800) {
        byte(0xC0 | (c >> 6));
    } else {
        if (c < 0x10000) {
            byte(0xE0 | (c >> 12));
        } else {
            byte(0xF0 | (c >> 18));
            byte(0x80 | ((c >> 12) & 0x3F));
        }
        byte(0x80 | ((c >> 6) & 0x3F));
    }
    byte(0x80 | (c & 0x3F));
}

/// The code point that starts at `at` in valid UTF-8; moves `at` behind it.
inline char32_t next_code_point(std::string_view text, std::size_t& at) {
    const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
    const char32_t lead = byte(at++);
    if (lead < 0x80) return lead;
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    char32_t c = lead & (0x3Fu >> more);
    for (int i = 0; i < more; ++i) c = (c << 6) | (byte(at++) & 0x3F);
    return c;
}

/// Turns a stream of bytes into valid UTF-8. Complete characters are handed on, and an unfinished one waits for its
/// rest. Every maximal part that cannot become a character is replaced by one U+FFFD (Unicode 15, section 3.9). So do
/// Python's errors="replace" and Rust's from_utf8_lossy.
class Utf8Repair {
  public:
    /// Appends to `out` the characters that are complete after these bytes.
    void push(std::string_view bytes, std::string& out) {
        for (const char b : bytes) push_byte(static_cast<unsigned char>(b), out);
    }
    /// Ends the stream: an unfinished character becomes one U+FFFD.
    void finish(std::string& out) {
        if (!pending_.empty()) out += replacement_character;
        pending_.clear();
        missing_ = 0;
    }

  private:
    void push_byte(unsigned char b, std::string& out) {
        if (missing_ > 0) {
            if (b >= low_ && b <= high_) {
                pending_.push_back(static_cast<char>(b));
                low_ = 0x80;
                high_ = 0xBF;
                if (--missing_ == 0) {
                    out += pending_;
                    pending_.clear();
                }
                return;
            }
            finish(out);
        }
        if (b < 0x80) {
            out.push_back(static_cast<char>(b));
        } else if (b >= 0xC2 && b <= 0xF4) {
            missing_ = b >= 0xF0 ? 3 : b >= 0xE0 ? 2 : 1;
            // The second byte is narrower where it rules out overlong forms, surrogates and values above U+10FFFF.
            low_ = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
            high_ = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
            pending_.assign(1, static_cast<char>(b));
        } else {
            out += replacement_character;
        }
    }

    std::string pending_;
    int missing_ = 0;
    unsigned char low_ = 0x80, high_ = 0xBF;
};

/// The text with everything that is no UTF-8 replaced by U+FFFD.
inline std::string repair_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    Utf8Repair repair;
    repair.push(text, out);
    repair.finish(out);
    return out;
}

}  // namespace qwen3vl::tokenizer
