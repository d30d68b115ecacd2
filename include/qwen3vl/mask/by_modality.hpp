#pragma once
#include <algorithm>
#include <qwen3vl/core/token_modalities.hpp>
#include <qwen3vl/mask/ranges.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Earlier keys that a query sees, by the modality of the query, first in each name, and of the key.
struct Sees {
    bool language_to_language = true;  ///< text looks at text
    bool language_to_vision = true;    ///< text looks at pictures
    bool vision_to_language = true;    ///< pictures look at text
    bool vision_to_vision = true;      ///< pictures look at themselves and at earlier ones
    int sinks = 0;                     ///< first tokens of the sequence that every query sees, whatever they are
};

namespace mask {

/// Causal attention masked by modality: language-to-vision, vision-to-language and attention within each. As in the
/// encoders of Tan & Bansal, 2019, "LXMERT" (section 2.2), but for tokens of one sequence. A query sees its own key,
/// the first S.sinks ones, and of the earlier ones those of the modalities that S allows; the default S has the bits of
/// Causal. The work follows the visible keys. Tokens filled by pictures and clips are vision, all others language.
///
/// A model that was not trained so keeps most of its answers where pictures see no text but the first tokens. It keeps
/// nearly all of them where the first of every four layers sees everything: attention::GlobalEvery<>, for
/// Layers<Pattern<Across, Within, Within, Within>>. It keeps few where text sees no pictures.
///     attention::Flash<mask::ByModality<Sees{.vision_to_language = false}>>
template <Sees S = Sees{}>
class ByModality {
    static_assert(S.sinks >= 0, "qwen3vl: slot mask: ByModality needs sinks from 0");

  public:
    static constexpr const char* name = "ByModality";
    static constexpr bool causal = true;
    static constexpr std::int64_t span = 0;
    static constexpr std::int64_t sinks = S.sinks;

    /// `types`: modalities of the sequence's tokens, which outlive the mask.
    explicit ByModality(const TokenModalities& types) : types_(types) {}

    template <class F>
    void for_each_range(std::int64_t first_query, std::int64_t last_query, KeyRange within, F&& f) const {
        const bool language = some_see(first_query, last_query, Modality::language),
                   vision = some_see(first_query, last_query, Modality::vision);
        if (language && vision) return give({0, last_query + 1}, within, f);
        give({0, std::min(sinks, first_query)}, within, f);
        if (language || vision) {
            const std::int64_t end = std::min(within.end, first_query);
            for (std::int64_t begin = std::max(within.begin, sinks), next = begin; begin < end; begin = next) {
                next = types_.run_end(begin, end);
                if (types_[begin] == Modality::language ? language : vision) f(KeyRange{begin, next});
            }
        }
        give({first_query, last_query + 1}, within, f);  // each sees itself
    }
    bool whole(std::int64_t first_query, std::int64_t last_query, std::int64_t first_key, std::int64_t last_key) const {
        if (last_key > first_query) return false;
        const auto seen = [&](Modality keys) {
            return !types_.any(first_key, last_key, keys) || all_see(first_query, last_query, keys);
        };
        return last_key < sinks || (seen(Modality::language) && seen(Modality::vision));
    }
    bool visible(std::int64_t query, std::int64_t key) const {
        return key <= query && (key == query || key < sinks || sees(types_[query], types_[key]));
    }

  private:
    static constexpr bool sees(Modality query, Modality key) {
        if (query == Modality::language)
            return key == Modality::language ? S.language_to_language : S.language_to_vision;
        return key == Modality::language ? S.vision_to_language : S.vision_to_vision;
    }
    bool some_see(std::int64_t first, std::int64_t last, Modality keys) const {
        const bool language = sees(Modality::language, keys), vision = sees(Modality::vision, keys);
        return language == vision ? language
                                  : types_.any(first, last, language ? Modality::language : Modality::vision);
    }
    bool all_see(std::int64_t first, std::int64_t last, Modality keys) const {
        const bool language = sees(Modality::language, keys), vision = sees(Modality::vision, keys);
        return language == vision ? language
                                  : !types_.any(first, last, language ? Modality::vision : Modality::language);
    }

    TokenModalities types_;
};

}  // namespace mask
}  // namespace qwen3vl
