#pragma once
#include <algorithm>
#include <qwen3vl/attention/row_groups.hpp>
#include <qwen3vl/kernels/rows.hpp>
#include <qwen3vl/mask/causal.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Scaled dot-product attention with all scores of a block materialised (Vaswani et al., 2017, eq. 1): the plain baseline. Its scratch grows
/// with the number of keys.
template <class Mask = mask::Causal>
struct Dense {
    static constexpr const char* name = "Dense";
    using mask = Mask;

    /// Packed queries, the scores, and a tile as float32.
    static std::int64_t scratch_floats(std::int64_t rows, std::int64_t channels, std::int64_t keys) {
        const std::int64_t padded = padded_rows(rows);
        return round_up(padded * channels, 16) + padded * round_up(keys, kv_cache::tile_keys) + wide_tile_floats(channels);
    }

    /// out [rows, channels] = softmax(queries · keys^T, masked) · values; `tiles(i)` gives tile i of the head. out is written in padded_rows(rows).
    template <class Arch, class Tiles>
    static void attend(const QueryBlock& q, const Tiles& tiles, float* out, float* scratch) {
        constexpr std::int64_t width = kv_cache::tile_keys;
        const std::int64_t padded = padded_rows(q.rows);
        float* wide = scratch + round_up(padded * q.channels, 16);
        float* scores = wide + wide_tile_floats(q.channels);  // [tiles met, padded rows, tile_keys]
        const RowGroups<Arch> groups(q, 1.0f, scratch);
        std::int64_t met = 0;
        // f(rows, packed, size, first row, tile, scores of the group) for each tile and group
        const auto for_each = [&](auto&& f) {
            met = 0;
            for_each_tile<Mask>(q, tiles, [&](const auto& stored) {
                with_tile_for<Arch>(q.rows, stored, wide, [&](const auto& tile) {
                    groups.for_each([&](const QueryBlock& rows, const float* packed, int size, std::int64_t at) {
                        f(rows, packed, size, at, tile, scores + (met * padded + at) * width);
                    });
                });
                ++met;
            });
        };
        for_each([](const QueryBlock& rows, const float* packed, int size, std::int64_t, const auto& tile, float* s) {
            score<Arch, Mask>(rows, packed, size, tile, {0, tile.count}, s);
            for (int r = 0; r < size; ++r) std::fill(s + r * width + tile.count, s + (r + 1) * width, -std::numeric_limits<float>::infinity());
        });
        for (std::int64_t r = 0; r < q.rows; ++r) {
            const auto for_each_row = [&](auto&& f) {
                for (std::int64_t t = 0; t < met; ++t) f(scores + (t * padded + r) * width);
            };
            kernels::vec<Arch> highest(-std::numeric_limits<float>::infinity());
            for_each_row([&](const float* s) {
                for (std::int64_t k = 0; k < width; k += Arch::floats) highest = xsimd::max(highest, kernels::load<Arch>(s + k));
            });
            const float top = kernels::max_lane<Arch>(highest);
            float sum = 0.0f;
            for_each_row([&](float* s) { sum += kernels::exp_row<Arch>(s, top, width); });
            for_each_row([&](float* s) { kernels::scale_row<Arch>(1.0f / sum, width, s); });
        }
        std::fill_n(out, padded * q.channels, 0.0f);
        for_each([&](const QueryBlock&, const float*, int size, std::int64_t at, const auto& tile, float* s) {
            if (tile.value_scales)
                for (int r = 0; r < size; ++r)
                    for (std::int64_t k = 0; k < width; ++k) s[r * width + k] *= static_cast<float>(tile.value_scales[k]);
            constexpr float ones[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
            kernels::add_values<Arch, width>(s, size, tile.values, q.channels, 0, tile.count, ones, out + at * q.channels);
        });
    }
};

}  // namespace qwen3vl::attention
