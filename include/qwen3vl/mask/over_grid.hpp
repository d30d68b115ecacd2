#pragma once
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/core/grid.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// Mask over each frame pair of a picture's grid; masks that know no grid are the same for all.
template <class Mask>
Mask over_grid([[maybe_unused]] const Grid& grid, [[maybe_unused]] int merge) {
    if constexpr (concepts::GridMask<Mask>)
        return Mask::over(grid, merge);
    else
        return {};
}

/// Index among the queries and keys of a frame pair's patch, given by its index in the tower's order.
template <class Mask>
std::int64_t order(const Mask& mask, std::int64_t patch) {
    if constexpr (concepts::GridMask<Mask>)
        return mask.order(patch);
    else
        return patch;
}

}  // namespace qwen3vl::mask
