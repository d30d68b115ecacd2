#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/checked.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Modality of a decoder's token: text, or a part of a picture or clip.
enum class Modality { language, vision };

/// The modality of each token of a sequence, by sequence index: a bit for each, in memory that the caller owns. Copies
/// refer to the same bits.
class TokenModalities {
  public:
    /// Bytes for so many tokens, in whole words.
    static constexpr std::int64_t bytes(std::int64_t tokens) {
        return ceil_div(tokens, word_bits) * static_cast<std::int64_t>(sizeof(std::uint64_t));
    }

    /// Makes one of no tokens.
    TokenModalities() = default;
    /// `memory`: bytes(tokens), aligned to 8.
    explicit TokenModalities(std::byte* memory) : words_(reinterpret_cast<std::uint64_t*>(memory)) {}

    /// Sets tokens [first, first + count) to this modality; all others stay as they were.
    void assign(std::int64_t first, std::int64_t count, Modality m) {
        for (std::int64_t t = first, end = first + count; t < end;) {
            const std::int64_t n = std::min(end - t, word_bits - t % word_bits);
            const std::uint64_t bits = (~std::uint64_t{0} >> (word_bits - n)) << t % word_bits;
            std::uint64_t& word = words_[t / word_bits];
            word = m == Modality::vision ? word | bits : word & ~bits;
            t += n;
        }
    }
    /// Copies the modalities of the first `tokens` tokens of another.
    void copy(const TokenModalities& other, std::int64_t tokens) {
        std::copy_n(other.words_, ceil_div(tokens, word_bits), words_);
    }
    /// Modality of a token.
    Modality operator[](std::int64_t token) const {
        return words_[token / word_bits] >> token % word_bits & 1 ? Modality::vision : Modality::language;
    }
    /// The first token behind `first` that is of another modality than it; `end`, which lies behind `first`, where
    /// there is none before it.
    std::int64_t run_end(std::int64_t first, std::int64_t end) const {
        const std::uint64_t same =
            (*this)[first] == Modality::vision ? 0 : ~std::uint64_t{0};  // makes the bits of others 1
        for (std::int64_t t = first; t < end; t += word_bits - t % word_bits)
            if (const std::uint64_t others = ~(words_[t / word_bits] ^ same) >> t % word_bits; others != 0)
                return std::min(end, t + std::countr_zero(others));
        return end;
    }
    /// True if some token of [first, last] is of this modality.
    bool any(std::int64_t first, std::int64_t last, Modality m) const {
        return (*this)[first] == m || run_end(first, last + 1) <= last;
    }

  private:
    static constexpr std::int64_t word_bits = 64;

    std::uint64_t* words_ = nullptr;
};

}  // namespace qwen3vl
