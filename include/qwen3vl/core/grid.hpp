#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A picture's or clip's patches: frame pairs, rows and columns (the reference's grid_thw). A still picture has t = 1.
struct Grid {
    int t = 1, h = 0, w = 0;  ///< frame pairs, rows, columns
    /// Patches of all frame pairs.
    std::int64_t patches() const { return std::int64_t{t} * h * w; }
    /// Tokens in the text after merge x merge patches became one.
    std::int64_t merged(int merge) const { return patches() / (std::int64_t{merge} * merge); }
    bool operator==(const Grid&) const = default;
};

/// Patches of a picture or clip, the input of the vision tower. One row of channels * temporal_patch * patch * patch
/// normalised values for each patch. Rows are in merge-block order, elements in the order (channel, time, y, x).
struct Patches {
    Grid grid;                  ///< in patches; its t counts frame pairs
    std::vector<float> values;  ///< [grid.patches(), channels * temporal_patch * patch * patch]
};

}  // namespace qwen3vl
