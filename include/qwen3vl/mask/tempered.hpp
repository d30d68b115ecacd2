#pragma once
#include <concepts>
#include <limits>
#include <qwen3vl/concepts/attention.hpp>
#include <qwen3vl/core/token_modalities.hpp>
#include <qwen3vl/mask/causal.hpp>
#include <type_traits>

namespace qwen3vl::inline QWEN3VL_ABI {

/// What scores are divided by, by the modality of the query, first in each name, and of the key. Below 1 a query looks
/// sharper at keys of that modality, and attends more to those that it rates above 0; above 1 it spreads.
struct Temperatures {
    float language_to_language = 1;  ///< text towards text
    float language_to_vision = 1;    ///< text towards pictures
    float vision_to_language = 1;    ///< pictures towards text
    float vision_to_vision = 1;      ///< pictures towards pictures
    /// True if all are the same.
    bool operator==(const Temperatures&) const = default;
};

namespace mask {

/// Temperature between modalities (the temperature of Hinton et al., 2015, "Distilling the knowledge in a neural
/// network", section 2, equation 1, by direction): the softmax over the keys k that Inner shows to query q is that of
///
///     q · k / (sqrt(head_dim) * T[modality of q][modality of k])
///
/// Tokens filled by pictures and clips are vision, all others language. A temperature of 1 leaves scores as they are;
/// `Tempered` with all of them 1 is Inner itself. For every algorithm that has scores: Dense, Flash, Chunked. Nothing
/// is trained: a checkpoint was made with temperatures of 1.
///     attention::Flash<mask::Tempered<Temperatures{.language_to_vision = 0.8f}>>
template <Temperatures T, class Inner = Causal>
class TemperedBy : public Inner {
    static constexpr bool positive(float t) { return t > 0 && t < std::numeric_limits<float>::infinity(); }
    static_assert(positive(T.language_to_language) && positive(T.language_to_vision) &&
                      positive(T.vision_to_language) && positive(T.vision_to_vision),
                  "qwen3vl: slot mask: Tempered needs temperatures above 0; 1 leaves scores as they are");
    static_assert(concepts::Visibility<Inner> && Inner::causal,
                  "qwen3vl: slot mask: Tempered is over a causal mask that answers by itself, for it scales scores of "
                  "the keys that are asked about by sequence index; use mask::Causal, SlidingWindow, BlockSparse or "
                  "ByModality");
    static_assert(!concepts::ScalesScores<Inner>,
                  "qwen3vl: slot mask: Tempered is over a mask that has temperatures already; give them in one "
                  "Temperatures");

  public:
    static constexpr const char* name = "Tempered";

    /// Makes one for the tokens of a sequence.
    explicit TemperedBy(const TokenModalities& types) : Inner(concepts::mask_over<Inner>(types)), types_(types) {}

    /// Factor of the score of a query and a key.
    float score_factor(std::int64_t query, std::int64_t key) const {
        const bool vision = types_[key] == Modality::vision;
        if (types_[query] == Modality::language) return vision ? 1 / T.language_to_vision : 1 / T.language_to_language;
        return vision ? 1 / T.vision_to_vision : 1 / T.vision_to_language;
    }
    /// The first key behind `first`, before `end`, whose factor may be another one; `end` where there is none.
    std::int64_t same_factor_until(std::int64_t first, std::int64_t end) const { return types_.run_end(first, end); }

  private:
    TokenModalities types_;
};

/// The mask Inner with temperatures, or Inner itself where all of them are 1.
template <Temperatures T, class Inner = Causal>
using Tempered = std::conditional_t<T == Temperatures{}, Inner, TemperedBy<T, Inner>>;

}  // namespace mask
}  // namespace qwen3vl
