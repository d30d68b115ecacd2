#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/token_modalities.hpp>
#include <span>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A picture or frame pair among a sequence's tokens.
struct SequencePicture {
    std::int64_t first = 0;                           ///< sequence index of its first token
    int rows = 0, columns = 0;                        ///< of the picture, in merged patches
    std::int64_t tokens = 0;                          ///< in the prompt
    std::int64_t features = 0;                        ///< rows of its features
    std::int64_t feature_row = 0;                     ///< row of its features at `first`
    std::array<std::uint64_t, 2> content{};           ///< hash of the features (content_hash())
    std::weak_ptr<const VisualFeatures> known{};      ///< the features, while they are in use elsewhere
    std::shared_ptr<const VisualFeatures> pending{};  ///< the features, kept until the tokens are computed

    /// True if a token-reduction policy left some of the merged patches.
    bool reduced() const { return features != std::int64_t{rows} * columns; }
    /// Sequence index behind its last token.
    std::int64_t end() const { return first + tokens; }
};

/// The record of a sequence's tokens: id, M-RoPE position, modality, and the pictures among them. Tokens may be logged
/// before they are computed. Text lies in memory that the caller owns and that bytes() plans.
class TokenLog {
  public:
    /// Position after a token within a picture: none.
    static constexpr int inside = -1;
    using Position = std::array<int, 3>;  ///< time, row, column

    /// Bytes for at most `context` tokens.
    static constexpr std::int64_t bytes(std::int64_t context) {
        return TokenModalities::bytes(context) +
               context * static_cast<std::int64_t>(sizeof(Position) + 2 * sizeof(int)) +
               static_cast<std::int64_t>(sizeof(int));
    }
    TokenLog() = default;
    /// `memory`: bytes(context), aligned to 8.
    TokenLog(std::byte* memory, std::int64_t context)
        : types_(memory),
          positions_(reinterpret_cast<Position*>(memory + TokenModalities::bytes(context))),
          ids_(reinterpret_cast<int*>(positions_ + context)),
          after_(ids_ + context) {
        after_[0] = 0;
    }
    TokenLog(const TokenLog&) = delete;
    TokenLog& operator=(const TokenLog&) = delete;
    TokenLog(TokenLog&&) = default;
    TokenLog& operator=(TokenLog&&) = default;

    /// Tokens logged.
    std::int64_t size() const { return size_; }
    /// Ids of all tokens, [size()].
    std::span<const int> ids() const { return {ids_, static_cast<std::size_t>(size_)}; }
    /// M-RoPE position of a token.
    const Position& position(std::int64_t token) const { return positions_[token]; }
    /// Position that follows the first `tokens` tokens; `inside` within a picture.
    int after(std::int64_t tokens) const { return after_[tokens]; }
    /// Modality of each token.
    const TokenModalities& types() const { return types_; }
    /// Pictures and frame pairs, in the order of their tokens.
    std::span<const SequencePicture> pictures() const { return pictures_; }

    /// Rows of features of all of them.
    std::int64_t visual_tokens() const {
        std::int64_t n = 0;
        for (const auto& p : pictures_) n += p.features;
        return n;
    }

    /// Appends a text token. Makes no heap allocation.
    void append(int token) {
        const int at = after_[size_];
        append(token, {at, at, at}, at + 1, Modality::language);
    }
    /// Appends tokens of any modality with their positions.
    void append(int token, const Position& position, int after, Modality modality) {
        ids_[size_] = token;
        positions_[size_] = position;
        types_.assign(size_, 1, modality);
        if (after == inside) types_.join_next(size_);
        after_[++size_] = after;
    }
    /// Notes that tokens which are appended already, or will be next, stand for a picture.
    void note(SequencePicture picture) { pictures_.push_back(std::move(picture)); }
    /// Forgets all but the first `tokens` tokens, the end of which is outside of pictures.
    void truncate(std::int64_t tokens) {
        size_ = std::min(size_, tokens);
        while (!pictures_.empty() && pictures_.back().first >= tokens) pictures_.pop_back();
    }
    /// Lets go of the features of pictures whose tokens are all among the first `tokens`.
    void release_features(std::int64_t tokens) {
        for (auto p = pictures_.rbegin(); p != pictures_.rend() && p->pending; ++p)
            if (p->end() <= tokens) p->pending.reset();
    }
    /// Becomes a copy of another log of the same or a shorter context.
    void copy(const TokenLog& other) {
        pictures_ = other.pictures_;
        std::copy_n(other.positions_, other.size_, positions_);
        std::copy_n(other.ids_, other.size_, ids_);
        std::copy_n(other.after_, other.size_ + 1, after_);
        types_.copy(other.types_, other.size_);
        size_ = other.size_;
    }
    /// Notes that a picture's features are these too, so that they are recognised without hashing.
    void recognise(std::size_t picture, std::weak_ptr<const VisualFeatures> features) {
        pictures_[picture].known = std::move(features);
    }

  private:
    TokenModalities types_;
    Position* positions_ = nullptr;
    int* ids_ = nullptr;
    int* after_ = nullptr;  ///< [size + 1]
    std::int64_t size_ = 0;
    std::vector<SequencePicture> pictures_;
};

}  // namespace qwen3vl
