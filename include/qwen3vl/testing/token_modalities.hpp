#pragma once
#include <qwen3vl/concepts/attention.hpp>
#include <qwen3vl/core/token_modalities.hpp>
#include <vector>

/// Token modalities for tests and benches.
namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// Token types of a sequence in which pictures and text take turns, a picture first.
class AlternatingTypes {
  public:
    AlternatingTypes(std::int64_t tokens, std::int64_t picture, std::int64_t text)
        : memory_(static_cast<std::size_t>(TokenModalities::bytes(tokens)) / sizeof(std::uint64_t)) {
        for (std::int64_t t = 0; t < tokens; t += picture + text) {
            types().assign(t, std::min(picture, tokens - t), Modality::vision);
            if (t + picture < tokens)
                types().assign(t + picture, std::min(text, tokens - t - picture), Modality::language);
        }
    }
    AlternatingTypes(const AlternatingTypes&) = delete;
    AlternatingTypes& operator=(const AlternatingTypes&) = delete;
    TokenModalities types() { return TokenModalities(reinterpret_cast<std::byte*>(memory_.data())); }

  private:
    std::vector<std::uint64_t> memory_;
};

/// A mask that answers by itself, or by the types of tokens.
template <class Mask>
Mask mask_over(const TokenModalities& types) {
    return concepts::mask_over<Mask>(types);
}

}  // namespace qwen3vl::testing
