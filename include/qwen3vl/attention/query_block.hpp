#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/kv_cache/tile.hpp>
#include <qwen3vl/mask/ranges.hpp>

/// What an attention algorithm is given: a block of queries that share one key/value head, and the tiles of that head.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Query rows to a block: eight register tiles of six rows.
inline constexpr std::int64_t block_rows = 48;

/// Queries [rows, channels], already scaled: `group` query heads for each token, tokens ascending. Row r belongs to sequence index
/// first + r / group. Grouped, multi-query and multi-head attention differ in `group` alone.
struct QueryBlock {
    const float* queries = nullptr;
    std::int64_t rows = 0, channels = 0, group = 1;
    std::int64_t first = 0;  ///< sequence index of row 0
    std::int64_t keys = 0;   ///< keys stored so far, those of this chunk included
    std::int64_t position(std::int64_t row) const { return first + row / group; }
    std::int64_t last() const { return position(rows - 1); }
};

/// Calls f(tile) for every tile that holds a visible key of the block, in ascending order, each once.
template <class Mask, class Tiles, class F>
void for_each_tile(const QueryBlock& q, const Tiles& tiles, F&& f) {
    std::int64_t next = 0;
    for (const auto& range : Mask::ranges(q.first, q.last(), q.keys)) {
        if (range.begin >= range.end) continue;
        const std::int64_t end = (range.end + kv_cache::tile_keys - 1) / kv_cache::tile_keys;
        for (std::int64_t t = std::max(next, range.begin / kv_cache::tile_keys); t < end; ++t) f(tiles(t));
        next = std::max(next, end);
    }
}

/// Puts -infinity where the mask hides a key: scores [rows, count] of one tile.
template <class Mask>
void hide(const QueryBlock& q, std::int64_t first_key, std::int64_t count, float* scores, std::int64_t stride) {
    if (Mask::whole(q.first, q.last(), first_key, first_key + count - 1)) return;
    for (std::int64_t r = 0; r < q.rows; ++r)
        for (std::int64_t k = 0; k < count; ++k)
            if (!Mask::visible(q.position(r), first_key + k)) scores[r * stride + k] = -std::numeric_limits<float>::infinity();
}

}  // namespace qwen3vl::attention
