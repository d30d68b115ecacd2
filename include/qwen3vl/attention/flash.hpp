#pragma once
#include <algorithm>
#include <cmath>
#include <qwen3vl/attention/query_block.hpp>
#include <qwen3vl/kernels/panel.hpp>
#include <qwen3vl/kernels/rows.hpp>
#include <qwen3vl/mask/causal.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Tiled attention with online softmax: one pass over the keys, memory for one tile of scores (Dao, 2023, "FlashAttention-2", algorithm 1;
/// Milakov & Gimelshein, 2018). Exact.
template <class Mask = mask::Causal>
struct Flash {
    static constexpr const char* name = "Flash";
    using mask = Mask;

    /// Floats of scratch for a block: scores of a tile, and a running maximum and sum for each row.
    static std::int64_t scratch_floats(std::int64_t rows, std::int64_t /*keys*/) { return rows * (kv_cache::tile_keys + 2); }

    /// out [rows, channels] = softmax(queries · keys^T, masked) · values; `tiles(i)` gives tile i of the head.
    template <class Arch, class Tiles>
    static void attend(const QueryBlock& q, const Tiles& tiles, float* out, float* scratch) {
        constexpr std::int64_t width = kv_cache::tile_keys;
        float* scores = scratch;
        float* top = scores + q.rows * width;
        float* total = top + q.rows;
        std::fill_n(top, q.rows, -std::numeric_limits<float>::infinity());
        std::fill_n(total, q.rows, 0.0f);
        std::fill_n(out, q.rows * q.channels, 0.0f);
        for_each_tile<Mask>(q, tiles, [&](const auto& tile) {
            kernels::panel<Arch>(q.queries, q.channels, q.rows, tile.keys, tile.stride, tile.count, q.channels, scores, width);
            hide<Mask>(q, tile.first, tile.count, scores, width);
            for (std::int64_t r = 0; r < q.rows; ++r) {
                const float highest = std::max(top[r], kernels::max_row<Arch>(scores + r * width, tile.count));
                if (highest == -std::numeric_limits<float>::infinity()) {  // nothing visible to this row so far
                    std::fill_n(scores + r * width, tile.count, 0.0f);
                    continue;
                }
                const float sum = kernels::exp_row<Arch>(scores + r * width, highest, tile.count);
                if (highest > top[r]) {
                    const float shrink = std::exp(top[r] - highest);
                    total[r] *= shrink;
                    kernels::scale_row<Arch>(shrink, q.channels, out + r * q.channels);
                    top[r] = highest;
                }
                total[r] += sum;
            }
            kernels::weighted_sum<Arch>(scores, width, q.rows, tile.values, tile.stride, tile.count, q.channels, out, q.channels);
        });
        for (std::int64_t r = 0; r < q.rows; ++r) kernels::scale_row<Arch>(1.0f / total[r], q.channels, out + r * q.channels);
    }
};

}  // namespace qwen3vl::attention
