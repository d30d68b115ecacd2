#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/checked.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Modality of a decoder's token: text, or a part of a picture or clip.
enum class Modality { language, vision };

/// The modality of each token of a sequence, by sequence index, and which visual tokens are of one picture: two bits
/// for each and a number for every 64, in memory that the caller owns. Copies refer to the same memory.
class TokenModalities {
    /// Bits of 64 tokens.
    struct Word {
        std::uint64_t vision = 0;   ///< of a picture
        std::uint64_t goes_on = 0;  ///< of a picture that the next token is of too
        std::int64_t before = 0;    ///< visual tokens before them
    };

  public:
    /// Bytes for so many tokens, in whole words.
    static constexpr std::int64_t bytes(std::int64_t tokens) {
        return ceil_div(tokens, word_bits) * static_cast<std::int64_t>(sizeof(Word));
    }

    /// Makes one of no tokens.
    TokenModalities() = default;
    /// `memory`: bytes(tokens), aligned to 8.
    explicit TokenModalities(std::byte* memory) : words_(reinterpret_cast<Word*>(memory)) {}

    /// Sets tokens [first, first + count) to text, or to those of a picture; all others stay as they were. What
    /// visual_before() tells of tokens behind `first` is right where they are assigned in order.
    void assign(std::int64_t first, std::int64_t count, Modality m) {
        set(first, count, m == Modality::vision, &Word::vision);
        set(first, count, m == Modality::vision, &Word::goes_on);
        if (count > 0) set(first + count - 1, 1, false, &Word::goes_on);
        for (std::int64_t w = std::max<std::int64_t>(1, ceil_div(first, word_bits)); w * word_bits < first + count; ++w)
            words_[w].before = words_[w - 1].before + std::popcount(words_[w - 1].vision);
    }
    /// Notes that a visual token and the next one are of the same picture.
    void join_next(std::int64_t token) { set(token, 1, true, &Word::goes_on); }
    /// Copies the modalities of the first `tokens` tokens of another.
    void copy(const TokenModalities& other, std::int64_t tokens) {
        std::copy_n(other.words_, ceil_div(tokens, word_bits), words_);
    }
    /// Modality of a token.
    Modality operator[](std::int64_t token) const {
        return words_[token / word_bits].vision >> token % word_bits & 1 ? Modality::vision : Modality::language;
    }
    /// The first token behind `first` that is of another modality than it; `end`, which lies behind `first`, where
    /// there is none before it.
    std::int64_t run_end(std::int64_t first, std::int64_t end) const {
        const std::uint64_t same =
            (*this)[first] == Modality::vision ? 0 : ~std::uint64_t{0};  // makes the bits of others 1
        for (std::int64_t t = first; t < end; t += word_bits - t % word_bits)
            if (const std::uint64_t others = ~(words_[t / word_bits].vision ^ same) >> t % word_bits; others != 0)
                return std::min(end, t + std::countr_zero(others));
        return end;
    }
    /// True if some token of [first, last] is of this modality.
    bool any(std::int64_t first, std::int64_t last, Modality m) const {
        return (*this)[first] == m || run_end(first, last + 1) <= last;
    }

    /// Visual tokens among the first `tokens`, and which of 64 tokens from 64 * index on are visual, a bit for each.
    std::int64_t visual_before(std::int64_t tokens) const {
        if (tokens == 0) return 0;
        const Word& word = words_[(tokens - 1) / word_bits];
        return word.before + std::popcount(word.vision << (word_bits - 1 - (tokens - 1) % word_bits));
    }
    /// As visual_before().
    std::uint64_t visual_in(std::int64_t index) const { return words_[index].vision; }

    /// First token of the picture that a token is of, and the token behind its last; of text, itself and the next.
    std::int64_t picture_begin(std::int64_t token) const {
        while (token > 0) {
            const std::int64_t before = token - 1, bits = before % word_bits + 1;  // tokens of the word up to `before`
            const int run = std::countl_one(words_[before / word_bits].goes_on << (word_bits - bits));
            token -= std::min<std::int64_t>(run, bits);
            if (run < bits) break;
        }
        return token;
    }
    /// As picture_begin().
    std::int64_t picture_end(std::int64_t token) const {
        for (;;) {
            const std::int64_t bits = word_bits - token % word_bits;
            const int run = std::countr_one(words_[token / word_bits].goes_on >> token % word_bits);
            if (run < bits) return token + run + 1;
            token += bits;
        }
    }
    /// True if both are tokens of one picture, or the same token; `first` <= `last`.
    bool same_picture(std::int64_t first, std::int64_t last) const {
        for (std::int64_t t = first; t < last; t += word_bits - t % word_bits) {
            const std::int64_t bits = std::min(last - t, word_bits - t % word_bits);
            if (std::countr_one(words_[t / word_bits].goes_on >> t % word_bits) < bits) return false;
        }
        return true;
    }

  private:
    static constexpr std::int64_t word_bits = 64;

    void set(std::int64_t first, std::int64_t count, bool one, std::uint64_t Word::*which) {
        for (std::int64_t t = first, end = first + count; t < end;) {
            const std::int64_t n = std::min(end - t, word_bits - t % word_bits);
            const std::uint64_t bits = (~std::uint64_t{0} >> (word_bits - n)) << t % word_bits;
            std::uint64_t& word = words_[t / word_bits].*which;
            word = one ? word | bits : word & ~bits;
            t += n;
        }
    }

    Word* words_ = nullptr;
};

}  // namespace qwen3vl
