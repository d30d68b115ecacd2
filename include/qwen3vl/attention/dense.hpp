#pragma once
#include <algorithm>
#include <qwen3vl/attention/query_block.hpp>
#include <qwen3vl/kernels/panel.hpp>
#include <qwen3vl/kernels/rows.hpp>
#include <qwen3vl/mask/causal.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Scaled dot-product attention with all scores of a block materialised (Vaswani et al., 2017, eq. 1): the plain baseline. Its scratch grows
/// with the number of keys.
template <class Mask = mask::Causal>
struct Dense {
    static constexpr const char* name = "Dense";
    using mask = Mask;

    static std::int64_t scratch_floats(std::int64_t rows, std::int64_t keys) { return rows * round_up(keys, kv_cache::tile_keys); }

    /// out [rows, channels] = softmax(queries · keys^T, masked) · values; `tiles(i)` gives tile i of the head.
    template <class Arch, class Tiles>
    static void attend(const QueryBlock& q, const Tiles& tiles, float* out, float* scratch) {
        const std::int64_t width = round_up(q.keys, kv_cache::tile_keys);
        std::int64_t filled = 0;
        for_each_tile<Mask>(q, tiles, [&](const auto& tile) {
            kernels::panel<Arch>(q.queries, q.channels, q.rows, tile.keys, tile.stride, tile.count, q.channels, scratch + filled, width);
            hide<Mask>(q, tile.first, tile.count, scratch + filled, width);
            filled += tile.count;
        });
        for (std::int64_t r = 0; r < q.rows; ++r) {
            float* scores = scratch + r * width;
            const float sum = kernels::exp_row<Arch>(scores, kernels::max_row<Arch>(scores, filled), filled);
            kernels::scale_row<Arch>(1.0f / sum, filled, scores);
        }
        std::fill_n(out, q.rows * q.channels, 0.0f);
        filled = 0;
        for_each_tile<Mask>(q, tiles, [&](const auto& tile) {
            kernels::weighted_sum<Arch>(scratch + filled, width, q.rows, tile.values, tile.stride, tile.count, q.channels, out, q.channels);
            filled += tile.count;
        });
    }
};

}  // namespace qwen3vl::attention
