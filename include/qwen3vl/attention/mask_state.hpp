#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/kv_cache/tile.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// State of a layer's mask beside the cache: none where the mask answers by itself or by the types of the sequence's
/// tokens.
template <class Mask>
struct MaskState {
    using type = Mask;
    /// No bytes.
    static std::int64_t bytes(std::int64_t, std::int64_t, std::int64_t) { return 0; }
    /// Mask of a sequence whose tokens have the modalities `types`.
    template <class P>
    static type in(std::byte*, std::int64_t, std::int64_t, std::int64_t, const P&, const TokenModalities& types) {
        return concepts::mask_over<Mask>(types);
    }
    /// Does nothing: the mask looks at no keys.
    template <class Team, class Tile>
    static void update(type&, Team&, std::int64_t, std::int64_t, const Tile&) {}
};

template <concepts::StatefulMask Mask>
struct MaskState<Mask> {
    using type = typename Mask::State;
    /// Bytes of the state of one layer.
    static std::int64_t bytes(std::int64_t kv_heads, std::int64_t channels, std::int64_t tokens) {
        return type::bytes(kv_heads, channels, tokens);
    }
    /// `p`: the mask's Parameters of the layer.
    template <class P>
    static type in(std::byte* memory, std::int64_t kv_heads, std::int64_t channels, std::int64_t tokens, const P& p,
                   const TokenModalities&) {
        return {memory, kv_heads, channels, tokens, p};
    }
    /// Updates the state after keys [first, first + count) were written; `tile(kv_head, index)` gives them, as
    /// kv_cache::later_tiles_of.
    template <class Team, class Tile>
    static void update(type& state, Team& team, std::int64_t first, std::int64_t count, const Tile& tile) {
        if constexpr (kv_cache::StagedTiles<Tile>) {
            constexpr std::int64_t unit =
                std::max(Mask::block, kv_cache::tile_keys);  // what may have to be read together
            for (std::int64_t begin = first / unit * unit; count > 0 && begin < tile.away() * kv_cache::tile_keys;
                 begin = first / unit * unit) {
                const std::int64_t step = std::max(unit, tile.most_tiles() * kv_cache::tile_keys / unit * unit),
                                   n = std::min(count, begin + step - first);
                tile.bring(begin / kv_cache::tile_keys,
                           std::min(tile.away(), ceil_div(first + n, kv_cache::tile_keys)));
                state.update(team, first, n, tile);
                tile.release();
                first += n;
                count -= n;
            }
        }
        state.update(team, first, count, tile);
    }
};

}  // namespace qwen3vl::attention
