#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <qwen3vl/concepts/attention.hpp>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/kv_cache/tile.hpp>
#include <qwen3vl/mask/ranges.hpp>

/// Input of an attention algorithm: a block of queries that share one key/value head, and the tiles of that head.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Most query rows to a block: whole register tiles on every Arch, and enough that converting a tile of keys costs
/// little beside using it.
inline constexpr std::int64_t block_rows = 192;

/// Queries [rows, channels], already scaled: `group` query heads for each token, tokens ascending. Row r belongs to
/// sequence index first + (skipped + r) / group. Grouped, multi-query and multi-head attention differ in `group` alone.
struct QueryBlock {
    const float* queries = nullptr;                  ///< [rows, channels]
    std::int64_t rows = 0, channels = 0, group = 1;  ///< group: query heads that share the key/value head
    std::int64_t first = 0;                          ///< sequence index of row 0
    std::int64_t keys = 0;                           ///< keys stored so far, those of this chunk included
    std::int64_t skipped = 0;                        ///< heads of the first token that lie before row 0
    /// Sequence index of the token of a row.
    std::int64_t position(std::int64_t row) const { return first + (skipped + row) / group; }
    /// Sequence index of the last row.
    std::int64_t last() const { return position(rows - 1); }
    /// Rows [from, from + count) alone.
    QueryBlock part(std::int64_t from, std::int64_t count) const {
        return {queries + from * channels, count, channels, group, position(from), keys, (skipped + from) % group};
    }
};

/// Every key there is.
inline constexpr mask::KeyRange all_keys{0, std::numeric_limits<std::int64_t>::max()};

/// Calls f(tile) for every tile that holds a visible key of the block, in ascending order, each once; of the keys
/// `within` alone, which are whole tiles.
template <class Mask, class Tiles, class F>
void for_each_tile(const QueryBlock& q, const Mask& visible, const Tiles& tiles, F&& f,
                   mask::KeyRange within = all_keys) {
    std::int64_t next = 0;
    visible.for_each_range(q.first, q.last(), {within.begin, std::min(within.end, q.keys)}, [&](mask::KeyRange range) {
        const std::int64_t end = ceil_div(range.end, kv_cache::tile_keys);
        for (std::int64_t t = std::max(next, range.begin / kv_cache::tile_keys); t < end; ++t) f(tiles(t));
        next = std::max(next, end);
    });
}

/// Smallest range of a tile's keys, counted from its first, that holds every key visible to some query of the block.
template <class Mask>
mask::KeyRange visible_keys(const QueryBlock& q, const Mask& visible, std::int64_t first_key, std::int64_t count) {
    mask::KeyRange seen{count, 0};
    visible.for_each_range(q.first, q.last(), {first_key, first_key + count}, [&](mask::KeyRange range) {
        seen = {std::min(seen.begin, range.begin - first_key), std::max(seen.end, range.end - first_key)};
    });
    return seen;
}

/// Multiplies scores by the mask's factors, where it has some: scores [rows, count] of keys in a row.
template <class Mask>
void scale([[maybe_unused]] const QueryBlock& q, [[maybe_unused]] const Mask& visible,
           [[maybe_unused]] std::int64_t first_key, [[maybe_unused]] std::int64_t count, [[maybe_unused]] float* scores,
           [[maybe_unused]] std::int64_t stride) {
    if constexpr (concepts::ScalesScores<Mask>)
        for (std::int64_t from = 0, to; from < count; from = to) {
            to = visible.same_factor_until(first_key + from, first_key + count) - first_key;
            for (std::int64_t r = 0; r < q.rows; ++r) {
                const float factor = visible.score_factor(q.position(r), first_key + from);
                if (factor == 1.0f) continue;
                for (std::int64_t k = from; k < to; ++k) scores[r * stride + k] *= factor;
            }
        }
}

/// Puts -infinity where the mask hides a key: scores [rows, count] of keys in a row.
template <class Mask>
void hide(const QueryBlock& q, const Mask& visible, std::int64_t first_key, std::int64_t count, float* scores,
          std::int64_t stride) {
    constexpr std::int64_t step =
        16;  // keys that are asked about together: at a causal edge most of a tile is seen by all
    const std::int64_t last = q.last();
    for (std::int64_t from = 0; from < count; from += step) {
        const std::int64_t to = std::min(from + step, count);
        if (visible.whole(q.first, last, first_key + from, first_key + to - 1)) continue;
        for (std::int64_t r = 0; r < q.rows; ++r) {
            const std::int64_t query = q.position(r);
            for (std::int64_t k = from; k < to; ++k)
                if (!visible.visible(query, first_key + k))
                    scores[r * stride + k] = -std::numeric_limits<float>::infinity();
        }
    }
}

}  // namespace qwen3vl::attention
