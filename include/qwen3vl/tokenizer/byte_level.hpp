#pragma once
#include <array>
#include <optional>
#include <qwen3vl/tokenizer/utf8.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Alphabet in which byte-level vocabularies spell bytes (GPT-2's `bytes_to_unicode`, github.com/openai/gpt-2
/// src/encoder.py). The printable bytes of Latin-1 stand for themselves; the other 68 are U+0100, U+0101, … in order.
/// So a space is spelled "Ġ".
class ByteLevel {
  public:
    /// The expression by which GPT-2 cuts a text into pieces (same file).
    static constexpr std::string_view split_pattern =
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

    /// The bytes that a vocabulary's spelling (valid UTF-8) stands for; nothing where it has a character outside the
    /// alphabet.
    static std::optional<std::string> bytes(std::string_view spelling) {
        std::string out;
        out.reserve(spelling.size());
        for (std::size_t at = 0; at < spelling.size();) {
            const char32_t c = next_code_point(spelling, at);
            if (c >= byte_of.size() || byte_of[c] < 0) return std::nullopt;
            out.push_back(static_cast<char>(static_cast<unsigned char>(byte_of[c])));
        }
        return out;
    }

  private:
    static constexpr int others = 256 - (0x7E - 0x21 + 1) - (0xAC - 0xA1 + 1) - (0xFF - 0xAE + 1);
    /// Byte of a code point, -1 where it is not in the alphabet.
    static constexpr std::array<int, 256 + others> byte_of = [] {
        std::array<int, 256 + others> table{};
        table.fill(-1);
        std::size_t next = 256;
        for (int b = 0; b < 256; ++b) {
            const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
            table[itself ? static_cast<std::size_t>(b) : next++] = b;
        }
        return table;
    }();
};

}  // namespace qwen3vl::tokenizer
