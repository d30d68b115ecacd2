#pragma once
#include <algorithm>
#include <qwen3vl/attention/query_block.hpp>
#include <qwen3vl/kernels/attention_tile.hpp>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/tile_variant.hpp>

/// A block's queries as the kernels take them, and the tiles they meet.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Rows of memory that hold a block's rows and those that kernels::group_size adds.
constexpr std::int64_t padded_rows(std::int64_t rows) { return rows + kernels::added_rows; }

/// The queries of a block in groups of a register tile's rows, packed and multiplied by a factor.
template <class Arch>
class RowGroups {
  public:
    /// `packed`: padded_rows(rows) * channels floats.
    RowGroups(const QueryBlock& q, float factor, float* packed) : q_(q), packed_(packed) {
        for_each([&](const QueryBlock& rows, const float*, int, std::int64_t at) {
            kernels::pack_queries<Arch>(rows.queries, rows.rows, rows.channels, factor, packed + at * rows.channels);
        });
    }
    /// The block as it was given.
    const QueryBlock& block() const { return q_; }
    /// f(rows, packed queries [channels, size], size, number of the first row) for each group.
    template <class F>
    void for_each(F&& f) const {
        constexpr std::int64_t step = kernels::outer_rows<Arch>;
        for (std::int64_t at = 0; at < q_.rows; at += step) {
            const QueryBlock rows = q_.part(at, std::min(step, q_.rows - at));
            f(rows, packed_ + at * q_.channels, kernels::group_size<Arch>(rows.rows), at);
        }
    }

  private:
    QueryBlock q_;
    float* packed_;
};

/// Floats that a tile takes as float32.
constexpr std::int64_t wide_tile_floats(std::int64_t channels) { return 2 * kv_cache::tile_keys * channels; }

/// Calls f(tile). A Tile of floats is passed as it is, and one of other elements for at most few_rows rows; all others
/// are widened to float32, in `wide`.
template <class Arch, class F>
void with_tile_for(std::int64_t /*rows*/, const kv_cache::Tile<float>& tile, float* /*wide*/, F&& f) {
    f(tile);
}
/// Widens a tile where rows are many.
template <class Arch, class Element, class F>
void with_tile_for(std::int64_t rows, const kv_cache::Tile<Element>& tile, float* wide, F&& f) {
    if (rows > kernels::few_rows)
        f(kv_cache::widened<Arch>(tile, wide));
    else
        f(tile);
}
/// Widens a tile of a codec's own layout.
template <class Arch, class Tile, class F>
void with_tile_for(std::int64_t /*rows*/, const Tile& tile, float* wide, F&& f) {
    f(widened<Arch>(tile, wide));
}

/// Does so with the tile that the variant holds.
template <class Arch, class A, class B, class F>
void with_tile_for(std::int64_t rows, const kv_cache::TileVariant<A, B>& either, float* wide, F&& f) {
    either.visit([&](const auto& tile) { with_tile_for<Arch>(rows, tile, wide, f); });
}

/// scores [size, tile_keys] of a group's rows and the keys `seen` of a tile, times the mask's factors where it has
/// some, -infinity where it hides a key.
template <class Arch, class Mask, class Element>
void score(const QueryBlock& rows, const Mask& visible, const float* packed, int size,
           const kv_cache::Tile<Element>& tile, mask::KeyRange seen, float* scores) {
    kernels::key_products<Arch, kv_cache::tile_keys>(packed, size, tile.keys, tile.key_scales, tile.channels,
                                                     seen.begin, seen.end, scores);
    scale(rows, visible, tile.first + seen.begin, seen.end - seen.begin, scores + seen.begin, kv_cache::tile_keys);
    hide(rows, visible, tile.first + seen.begin, seen.end - seen.begin, scores + seen.begin, kv_cache::tile_keys);
}

}  // namespace qwen3vl::attention
