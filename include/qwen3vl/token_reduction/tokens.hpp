#pragma once
#include <concepts>
#include <cstdint>
#include <qwen3vl/core/grid.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::token_reduction {

/// Policies that leave fewer tokens of a frame pair than its rows * columns merged patches: tokens(rows, columns), at
/// least 1. Their reduce() leaves as many rows of features of each frame pair, and the row and column of each in
/// VisualFeatures::places, from which its M-RoPE position follows.
template <class P>
concept LeavesFewer = requires {
    { P::tokens(1, 1) } -> std::convertible_to<std::int64_t>;
};

/// Tokens of a frame pair of so many rows and columns of merged patches in the prompt.
template <class P>
constexpr std::int64_t tokens_of(int rows, int columns) {
    if constexpr (LeavesFewer<P>)
        return P::tokens(rows, columns);
    else
        return std::int64_t{rows} * columns;
}
/// Tokens of a frame pair of a grid of patches.
template <class P>
constexpr std::int64_t tokens_of(const Grid& grid, int merge) {
    return tokens_of<P>(grid.h / merge, grid.w / merge);
}

}  // namespace qwen3vl::token_reduction
