#pragma once
#include <algorithm>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::position {

/// The learned square table of position embeddings, read bilinearly with the ends of picture and table pinned to each
/// other (linspace(0, side - 1, n); `fast_pos_embed_interpolate`, modeling_qwen3_vl.py).
///     position::Grid2D<position::InterpolatedTable>
struct InterpolatedTable {
    static constexpr const char* name = "InterpolatedTable";
    /// Two neighbouring entries of the table and the weight of the second.
    struct Sample {
        int low = 0, high = 0;  ///< indices along one side
        float weight = 0.0f;    ///< of `high`; 1 - weight is that of `low`
    };
    /// Sample for patch i of n along one side. Computed in float32 from the nearer end, as torch.linspace does.
    static Sample sample(int i, int n, int side) {
        const float end = static_cast<float>(side - 1);
        const float step = n > 1 ? end / static_cast<float>(n - 1) : 0.0f;
        const float at =
            i < n / 2 || n == 1 ? step * static_cast<float>(i) : end - step * static_cast<float>(n - 1 - i);
        const int low = static_cast<int>(at);
        return {low, std::min(low + 1, side - 1), at - static_cast<float>(low)};
    }
};

}  // namespace qwen3vl::position
