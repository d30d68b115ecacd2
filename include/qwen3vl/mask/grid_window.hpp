#pragma once
#include <algorithm>
#include <qwen3vl/core/grid.hpp>
#include <qwen3vl/mask/ranges.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A window of the vision tower, in patches: multiples of VisionDims::merge.
struct PatchWindow {
    int rows = 8;  ///< patches
    int cols = 8;  ///< patches
};

namespace mask {

/// A patch sees the patches of its own window: W.rows x W.cols patches, counted from the picture's top left corner and
/// cut at its right and lower edges (Liu et al., 2021, "Swin Transformer", section 3.2, without the shift; Bai et al.,
/// 2025, "Qwen2.5-VL technical report", section 2.1.1: windows of 8 x 8 patches, and full attention in 4 of 32 blocks).
/// For the tower, mostly in a plan with Full. A window that holds a picture computes what Full does. Queries and keys
/// lie window by window, as order() says, so that a window's are one range and the work follows what is seen.
///     using Window = attention::Flash<mask::GridWindow<>>;
///     Layers<Pattern<Window, Window, attention::Flash<mask::Full>>>
template <PatchWindow W = PatchWindow{}>
class GridWindow {
  public:
    static_assert(W.rows > 0 && W.cols > 0, "qwen3vl: slot mask: GridWindow needs rows > 0 and cols > 0");
    static constexpr const char* name = "GridWindow";
    static constexpr bool causal = false;
    static constexpr std::int64_t span = 0;
    static constexpr std::int64_t sinks = 0;
    static constexpr int rows = W.rows, cols = W.cols;  ///< sides in patches

    /// Mask for each frame pair of a grid, whose patches lie in blocks of merge x merge.
    static GridWindow over(const Grid& grid, int merge) { return {grid, merge}; }

    /// Index among the queries and keys of a frame pair's patch, given by its index in the tower's order. They lie
    /// window by window, row-major. Each window holds blocks of merge x merge patches row-major, as in a picture of the
    /// window's size.
    std::int64_t order(std::int64_t patch) const {
        const std::int64_t area = merge_ * merge_, block = patch / area, across = grid_w_ / merge_;
        const std::int64_t row = block / across * merge_, col = block % across * merge_;  // of the block's first patch
        const std::int64_t top = row / rows_ * rows_, left = col / cols_ * cols_;         // of its window's
        const std::int64_t within = (row - top) / merge_ * (width(left) / merge_) + (col - left) / merge_;
        return top * grid_w_ + left * height(top) + within * area + patch % area;
    }

    template <class F>
    void for_each_range(std::int64_t first_query, std::int64_t last_query, KeyRange within, F&& f) const {
        give({window(first_query).begin, window(last_query).end}, within, f);
    }
    bool whole(std::int64_t first_query, std::int64_t last_query, std::int64_t first_key, std::int64_t last_key) const {
        const KeyRange own = window(first_query);
        return last_query < own.end && first_key >= own.begin && last_key < own.end;
    }
    bool visible(std::int64_t query, std::int64_t key) const {
        const KeyRange own = window(query);
        return key >= own.begin && key < own.end;
    }

  private:
    GridWindow(const Grid& grid, int merge)
        : merge_(merge),
          grid_h_(grid.h),
          grid_w_(grid.w),
          rows_(std::min<std::int64_t>(W.rows, grid_h_)),
          cols_(std::min<std::int64_t>(W.cols, grid_w_)) {}

    std::int64_t height(std::int64_t top) const { return std::min(rows_, grid_h_ - top); }
    std::int64_t width(std::int64_t left) const { return std::min(cols_, grid_w_ - left); }
    /// The window that holds a query or key.
    KeyRange window(std::int64_t index) const {
        const std::int64_t top = index / (rows_ * grid_w_) * rows_, tall = height(top);
        const std::int64_t left = (index - top * grid_w_) / (cols_ * tall) * cols_, begin = top * grid_w_ + left * tall;
        return {begin, begin + tall * width(left)};
    }

    std::int64_t merge_, grid_h_, grid_w_, rows_, cols_;  // rows_, cols_: of a window that is not cut
};

}  // namespace mask
}  // namespace qwen3vl
