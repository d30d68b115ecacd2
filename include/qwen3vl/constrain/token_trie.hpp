#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <qwen3vl/constrain/guide.hpp>
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Ordinary tokens of a vocabulary as a tree over their bytes, flat and depth first, so that what a state allows is
/// found in one sweep. Added tokens ("<|im_end|>", "<think>") are not among them. Immutable: threads may share one.
///
/// Tokens that consist of whole characters as they stand in a JSON string, the larger part of a vocabulary, are known
/// apart by their number of characters: a mask of a string's body begins with those.
class TokenTrie {
  public:
    /// A byte of the tree.
    struct Node {
        std::int32_t token;   ///< -1: none ends here
        std::uint32_t after;  ///< index behind the node's descendants
        std::uint16_t depth;  ///< of its byte, from 0
        std::uint8_t byte;    ///< of the tokens below
    };
    /// Any number of characters.
    static constexpr std::uint32_t any = std::numeric_limits<std::uint32_t>::max();

    /// Tokens that are longer than 4096 bytes are left out. O(n log n), some 100 ms for 150,000 tokens.
    explicit TokenTrie(const tokenizer::Tokenizer& tokenizer);
    TokenTrie(const TokenTrie&) = delete;
    TokenTrie& operator=(const TokenTrie&) = delete;

    /// The largest id + 1.
    int vocab_size() const { return vocab_; }
    /// Words of a mask with a bit for each id.
    std::size_t mask_words() const { return (static_cast<std::size_t>(vocab_) + 63) / 64; }
    /// Bytes of the longest token.
    std::size_t longest() const { return longest_; }
    /// Bytes that are a token by themselves.
    const std::array<bool, 256>& alphabet() const { return alphabet_; }
    /// A token's bytes; none for one that is not in the tree.
    std::string_view bytes(int token) const { return bytes_[static_cast<std::size_t>(token)]; }

    /// A tree, and where the nodes of first bytes stand in it.
    struct Tree {
        std::vector<Node> nodes;                                         ///< depth first
        std::vector<std::pair<std::uint8_t, std::uint32_t>> roots = {};  ///< first bytes and their nodes
    };
    /// The tree of all tokens.
    const Tree& tree() const { return tree_; }
    /// The tree of the tokens that text_tokens() does not give.
    const Tree& other_tree() const { return other_; }
    /// Writes the tokens of at most `characters` whole JSON string characters to a mask of mask_words().
    void text_tokens(std::uint32_t characters, std::span<std::uint64_t> mask) const;
    /// True if some token is longer than `text` and begins with it.
    bool begins_longer(std::string_view text) const;

  private:
    static constexpr std::uint32_t kept_counts = 24;
    struct Text {
        std::uint32_t characters;
        std::int32_t token;
    };
    static Tree make_tree(std::span<const std::pair<std::string_view, int>> sorted);
    /// Characters of a text that could stand in a JSON string as it is; nothing where it could not.
    static std::optional<std::uint32_t> json_characters(std::string_view bytes);

    int vocab_;
    std::size_t longest_ = 0;
    std::array<bool, 256> alphabet_{};
    std::string arena_;
    std::vector<std::string_view> bytes_;  // by id
    Tree tree_, other_;
    std::vector<Text> text_;                         // by characters
    std::vector<std::vector<std::uint64_t>> masks_;  // of at most so many characters; the last: of any number
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::shared_ptr<const TokenTrie> LazyTokenTrie::get(const tokenizer::Tokenizer& tokenizer) const {
    const std::scoped_lock lock(mutex_);
    if (!trie_) trie_ = std::make_shared<const TokenTrie>(tokenizer);
    return trie_;
}

QWEN3VL_SUPPORT TokenTrie::TokenTrie(const tokenizer::Tokenizer& tokenizer) : vocab_(tokenizer.vocab_size()) {
    constexpr std::size_t longest_allowed = 4096;
    std::vector<std::pair<std::string_view, int>> tokens, others;
    std::size_t total = 0;
    for (int id = 0; id < vocab_; ++id) {
        if (!tokenizer.has_token(id)) continue;
        const std::string_view bytes = tokenizer.token_bytes(id);
        if (bytes.empty() || bytes.size() > longest_allowed || tokenizer.added_token_id(bytes) == id) continue;
        tokens.emplace_back(bytes, id);
        total += bytes.size();
        longest_ = std::max(longest_, bytes.size());
    }
    arena_.reserve(total);  // views into it must stay
    bytes_.resize(static_cast<std::size_t>(vocab_));
    for (auto& [bytes, id] : tokens) {
        const std::size_t at = arena_.size();
        arena_ += bytes;
        bytes = bytes_[static_cast<std::size_t>(id)] = std::string_view(arena_).substr(at);
        if (bytes.size() == 1) alphabet_[static_cast<unsigned char>(bytes[0])] = true;
    }
    std::sort(tokens.begin(), tokens.end());
    for (const auto& token : tokens) {
        if (const auto characters = json_characters(token.first))
            text_.push_back({*characters, token.second});
        else
            others.push_back(token);
    }
    tree_ = make_tree(tokens);
    other_ = make_tree(others);
    std::sort(text_.begin(), text_.end(), [](const Text& a, const Text& b) {
        return a.characters != b.characters ? a.characters < b.characters : a.token < b.token;
    });
    std::vector<std::uint64_t> mask(mask_words());
    std::uint32_t kept = 0;
    for (const Text& t : text_) {
        for (; kept < kept_counts && kept < t.characters; ++kept) masks_.push_back(mask);
        mask[static_cast<std::size_t>(t.token) / 64] |= std::uint64_t{1} << (t.token % 64);
    }
    for (; kept <= kept_counts; ++kept) masks_.push_back(mask);
}

QWEN3VL_SUPPORT std::optional<std::uint32_t> TokenTrie::json_characters(std::string_view bytes) {
    for (const char c : bytes)
        if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\') return std::nullopt;
    if (tokenizer::repair_utf8(bytes) != bytes) return std::nullopt;
    std::uint32_t characters = 0;
    for (const char c : bytes) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return characters;
}

QWEN3VL_SUPPORT TokenTrie::Tree TokenTrie::make_tree(std::span<const std::pair<std::string_view, int>> sorted) {
    Tree tree;
    std::vector<Node>& out = tree.nodes;
    std::string_view before;
    std::vector<std::size_t> open;  // the nodes of the last token's bytes
    const auto close = [&](std::size_t depth) {
        for (; open.size() > depth; open.pop_back()) out[open.back()].after = static_cast<std::uint32_t>(out.size());
    };
    for (const auto& [bytes, id] : sorted) {
        const std::size_t shorter = std::min(before.size(), bytes.size());
        std::size_t common = 0;
        while (common < shorter && before[common] == bytes[common]) ++common;
        close(common);
        for (std::size_t depth = common; depth < bytes.size(); ++depth) {
            open.push_back(out.size());
            out.push_back({-1, 0, static_cast<std::uint16_t>(depth), static_cast<std::uint8_t>(bytes[depth])});
        }
        out.back().token = id;
        before = bytes;
    }
    close(0);
    for (std::uint32_t i = 0; i < out.size(); i = out[i].after) tree.roots.emplace_back(out[i].byte, i);
    return tree;
}

QWEN3VL_SUPPORT void TokenTrie::text_tokens(std::uint32_t characters, std::span<std::uint64_t> mask) const {
    const bool kept = characters < kept_counts;
    const auto& from = masks_[kept ? characters : kept_counts];
    std::copy(from.begin(), from.end(), mask.begin());
    if (kept) return;
    const auto longer = std::upper_bound(text_.begin(), text_.end(), characters,
                                         [](std::uint32_t n, const Text& t) { return n < t.characters; });
    for (auto t = longer; t != text_.end(); ++t)
        mask[static_cast<std::size_t>(t->token) / 64] &= ~(std::uint64_t{1} << (t->token % 64));
}

QWEN3VL_SUPPORT bool TokenTrie::begins_longer(std::string_view text) const {
    std::size_t first = 0, last = tree_.nodes.size();
    for (const char c : text) {
        while (first < last && tree_.nodes[first].byte != static_cast<std::uint8_t>(c))
            first = tree_.nodes[first].after;
        if (first >= last) return false;
        last = tree_.nodes[first].after;
        ++first;
    }
    return first < last;
}

#endif

}  // namespace qwen3vl::constrain
