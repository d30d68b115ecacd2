#pragma once
#include <algorithm>
#include <limits>
#include <qwen3vl/attention/head_blocks.hpp>
#include <qwen3vl/kernels/exponential.hpp>

/// The probabilities that queries give to keys, for caches that rate their keys by them: a second pass, as attention
/// keeps none.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Floats of scratch for rate_keys over at most `keys` keys.
inline std::int64_t rating_floats(std::int64_t channels, std::int64_t keys) {
    return round_up(16 * channels, 16) + 16 * round_up(keys, kv_cache::tile_keys) + wide_tile_floats(channels);
}

/// Adds to ratings [keys] the probability that each query of a block gives to each key: its softmax over the keys up to
/// its own. Runs query by query, so that no sum depends on how they were cut into blocks.
template <class Arch, class Tiles>
void rate_keys(const QueryBlock& q, const Tiles& tiles, float* ratings, float* scratch) {
    constexpr std::int64_t step = kernels::outer_rows<Arch>, width = kv_cache::tile_keys;
    const std::int64_t padded = round_up(q.keys, width);
    float *packed = scratch, *scores = packed + round_up(16 * q.channels, 16), *wide = scores + 16 * padded;
    for (std::int64_t at = 0; at < q.rows; at += step) {
        const QueryBlock rows = q.part(at, std::min(step, q.rows - at));
        const int size = kernels::group_size<Arch>(rows.rows);
        kernels::pack_queries<Arch>(rows.queries, rows.rows, q.channels, log2_e, packed);
        for (std::int64_t t = 0; t * width < q.keys; ++t)
            with_tile_for<Arch>(rows.rows, tiles(t), wide, [&](const auto& tile) {
                kernels::key_products<Arch, width>(packed, size, tile.keys, tile.key_scales, tile.channels, 0,
                                                   tile.count, scores + t * size * width);
            });
        for (std::int64_t r = 0; r < rows.rows; ++r) {
            const std::int64_t seen = rows.position(r) + 1;
            const auto row = [&](std::int64_t k) { return scores + k / width * size * width + r * width + k % width; };
            for (std::int64_t k = seen; k < round_up(seen, width); ++k)
                *row(k) = -std::numeric_limits<float>::infinity();
            kernels::vec<Arch> highest(*row(0)), sum(0.0f);
            for (std::int64_t k = 0; k < seen; k += Arch::floats)
                highest = xsimd::max(highest, kernels::load<Arch>(row(k)));
            const kernels::vec<Arch> top(kernels::max_lane<Arch>(highest));
            for (std::int64_t k = 0; k < seen; k += Arch::floats) {
                const auto p = kernels::exp2<Arch>(kernels::load<Arch>(row(k)) - top);
                sum += p;
                kernels::store<Arch>(p, row(k));
            }
            const float share = 1.0f / kernels::sum_lanes<Arch>(sum);
            for (std::int64_t k = 0; k < seen; ++k) ratings[k] += share * *row(k);
        }
    }
}

}  // namespace qwen3vl::attention
