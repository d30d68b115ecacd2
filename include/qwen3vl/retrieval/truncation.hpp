#pragma once
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <span>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Which tokens of a prompt that is too long are left out.
enum class Truncation {
    keep_special,  ///< text at the end; control tokens and pads stay, so that the prompt keeps its form
    cut_end        ///< whatever stands at the end, as a tokenizer's own truncation does
};

namespace detail {

/// At most `longest` of the tokens, more only where so many are control tokens and those are kept
/// (`Qwen3VLEmbedder._truncate_tokens`).
inline std::vector<int> truncated(const tokenizer::Tokenizer& tokenizer, std::span<const int> ids, std::size_t longest,
                                  Truncation truncation) {
    if (ids.size() <= longest) return {ids.begin(), ids.end()};
    if (truncation == Truncation::cut_end) return {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(longest)};
    std::size_t special = 0;
    for (const int id : ids) special += tokenizer.is_special(id);
    std::size_t left = longest - std::min(longest, special);
    std::vector<int> out;
    out.reserve(longest);
    for (const int id : ids) {
        const bool kept = tokenizer.is_special(id);
        if (!kept && left == 0) continue;
        out.push_back(id);
        left -= !kept;
    }
    return out;
}

}  // namespace detail
}  // namespace qwen3vl
