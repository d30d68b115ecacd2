#pragma once
#include <array>
#include <cstdint>
#include <qwen3vl/core/grid.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A picture or clip after the vision tower: what takes the place of its pad tokens in the prompt. Independent of any
/// session, so it can be used again and shared by threads.
struct VisualFeatures {
    Grid grid;                                  ///< in patches
    int merge = 2;                              ///< patches a side that became one token
    std::int64_t width = 0;                     ///< the decoder's hidden size
    std::vector<float> embedding;               ///< [tokens(), width]
    std::vector<std::vector<float>> deepstack;  ///< for each DeepStack level [tokens(), width]

    /// Row and column of each token among the merged patches of its frame pair, [tokens()]; empty: all of them, row by
    /// row.
    std::vector<std::array<int, 2>> places = {};

    /// Pad tokens that stand in the prompt for a frame pair, where the model's fusion policy keeps visual tokens
    /// outside of the sequence; 0: one for each row of features.
    int stand_in = 0;

    /// Rows of features: those of the grid after merging, or those that a token-reduction policy left.
    std::int64_t tokens() const {
        return places.empty() ? grid.merged(merge) : static_cast<std::int64_t>(places.size());
    }
    /// Rows of features of one frame pair; all of them for a still picture.
    std::int64_t span_features() const { return tokens() / grid.t; }
    /// Pad tokens of one frame pair, which form one span of the prompt.
    std::int64_t span_tokens() const { return stand_in > 0 ? stand_in : span_features(); }
    /// Row of a token, [width].
    const float* embedding_row(std::int64_t token) const { return embedding.data() + token * width; }
    /// Row of a token at a DeepStack level, [width].
    const float* deepstack_row(std::size_t level, std::int64_t token) const {
        return deepstack[level].data() + token * width;
    }
    /// Bytes of all rows.
    std::int64_t bytes() const {
        return static_cast<std::int64_t>(sizeof(float)) * tokens() * width *
               (1 + static_cast<std::int64_t>(deepstack.size()));
    }
};

}  // namespace qwen3vl
