#pragma once
#include <algorithm>
#include <qwen3vl/concepts/attention.hpp>
#include <qwen3vl/mask/causal.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// A picture's visual tokens see each other both ways, text stays causal (a prefix mask by picture: Liu et al., 2018,
/// "Generating Wikipedia by summarizing long sequences", section 4.2.3, and Raffel et al., 2020, "T5", figure 4, show
/// prefixes so; Beyer et al., 2024, "PaliGemma", section 3.2.1, pictures). Query q sees key k where Inner shows it, or
/// where both are tokens of one picture, or of one frame pair of a clip. A prompt without pictures has the bits of
/// Inner. Nothing is trained: a checkpoint was made with causal pictures.
///
/// A token that sees later ones needs their keys, so that each picture passes the layers in one chunk: sessions cut
/// prompts between pictures, and a picture that is longer than SessionOptions::chunk, or than the cache takes at once,
/// is a PromptError. Pages that a PagePool shares may end within a picture, for a page's content is told by the whole
/// picture.
///     attention::Flash<mask::BidirectionalPictures<>>
template <class Inner = Causal>
class BidirectionalPictures : public Inner {
    static_assert(
        concepts::Visibility<Inner> && Inner::causal,
        "qwen3vl: slot mask: BidirectionalPictures is over a causal mask that answers by itself, for it shows "
        "keys by their sequence index; use mask::Causal, SlidingWindow, BlockSparse, ByModality or Tempered");

  public:
    static constexpr const char* name = "BidirectionalPictures";
    static constexpr bool looks_ahead = true;  ///< within a picture

    /// Makes one for the tokens of a sequence.
    explicit BidirectionalPictures(const TokenModalities& types)
        : Inner(concepts::mask_over<Inner>(types)), types_(types) {}

    template <class F>
    void for_each_range(std::int64_t first_query, std::int64_t last_query, KeyRange within, F&& f) const {
        // between here and there every key is seen: by a query of its picture, or by itself
        const std::int64_t begin = types_.picture_begin(first_query), end = types_.picture_end(last_query);
        if (within.begin < begin)
            Inner::for_each_range(first_query, last_query, {within.begin, std::min(within.end, begin)}, f);
        give({begin, end}, within, f);
    }
    bool whole(std::int64_t first_query, std::int64_t last_query, std::int64_t first_key, std::int64_t last_key) const {
        if (Inner::whole(first_query, last_query, first_key, last_key)) return true;
        const std::int64_t begin = types_.picture_begin(first_query), end = types_.picture_end(first_query);
        if (last_query >= end || last_key < begin || last_key >= end) return false;
        return first_key >= begin || Inner::whole(first_query, last_query, first_key, begin - 1);
    }
    bool visible(std::int64_t query, std::int64_t key) const {
        return Inner::visible(query, key) || types_.same_picture(std::min(query, key), std::max(query, key));
    }

  private:
    TokenModalities types_;
};

}  // namespace qwen3vl::mask
