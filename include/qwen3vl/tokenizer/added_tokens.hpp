#pragma once
#include <algorithm>
#include <bitset>
#include <cstddef>
#include <optional>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// A token that is matched as a whole before the text is split, such as "<|im_end|>".
struct AddedToken {
    std::string content;      ///< as it stands in a text, not empty
    int id = 0;               ///< in the vocabulary
    bool special = false;     ///< a control token, which decoding can leave out
    bool normalized = false;  ///< matched in the normalised text instead of the text as given
};

/// Finds any of a set of strings in a text: the leftmost match, of several there the longest. O(length of the longest
/// string) for each byte of text.
class AddedTokenMatcher {
  public:
    /// A token found in a text.
    struct Match {
        std::size_t begin = 0, end = 0;  ///< bytes
        int id = 0;                      ///< of the token
    };
    AddedTokenMatcher() = default;
    /// Pairs of content (not empty) and id, all contents different.
    explicit AddedTokenMatcher(std::vector<std::pair<std::string, int>> tokens) : tokens_(std::move(tokens)) {
        std::sort(tokens_.begin(), tokens_.end());
        for (const auto& [content, id] : tokens_) first_bytes_.set(static_cast<unsigned char>(content.front()));
    }

    /// True if there are no tokens to find.
    bool empty() const { return tokens_.empty(); }

    /// The first match that begins at byte `from` or later.
    std::optional<Match> next(std::string_view text, std::size_t from) const {
        if (tokens_.empty()) return std::nullopt;
        for (std::size_t at = from; at < text.size(); ++at) {
            if (!first_bytes_.test(static_cast<unsigned char>(text[at]))) continue;
            if (const auto* token = longest_at(text.substr(at)))
                return Match{at, at + token->first.size(), token->second};
        }
        return std::nullopt;
    }

    /// The id of exactly this content.
    std::optional<int> find(std::string_view content) const {
        const auto it = std::lower_bound(tokens_.begin(), tokens_.end(), content,
                                         [](const auto& token, std::string_view c) { return token.first < c; });
        if (it == tokens_.end() || it->first != content) return std::nullopt;
        return it->second;
    }

  private:
    /// The longest token that the text begins with. The sorted list is narrowed byte by byte to the tokens that share
    /// the prefix read so far.
    const std::pair<std::string, int>* longest_at(std::string_view text) const {
        const std::pair<std::string, int>* longest = nullptr;
        auto first = tokens_.begin(), last = tokens_.end();
        for (std::size_t depth = 0; first != last && depth < text.size(); ++depth) {
            const auto c = static_cast<unsigned char>(text[depth]);
            const auto byte = [&](const auto& token) { return static_cast<unsigned char>(token.first[depth]); };
            first = std::partition_point(first, last, [&](const auto& token) { return byte(token) < c; });
            last = std::partition_point(first, last, [&](const auto& token) { return byte(token) == c; });
            if (first != last && first->first.size() == depth + 1) longest = &*first++;
        }
        return longest;
    }

    std::vector<std::pair<std::string, int>> tokens_;  // sorted by content
    std::bitset<256> first_bytes_;
};

}  // namespace qwen3vl::tokenizer
