#pragma once
#include <cstddef>
#include <cstdint>
#include <qwen3vl/concepts/concepts.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// What a layer keeps for its mask beside the cache: nothing, where the mask answers by itself.
template <class Mask>
struct MaskState {
    using type = Mask;
    static std::int64_t bytes(std::int64_t, std::int64_t, std::int64_t) { return 0; }
    static type in(std::byte*, std::int64_t, std::int64_t, std::int64_t, Tables) { return {}; }
    template <class Team, class Tile>
    static void update(type&, Team&, std::int64_t, std::int64_t, const Tile&) {}
};

template <concepts::StatefulMask Mask>
struct MaskState<Mask> {
    using type = typename Mask::State;
    /// Of one layer.
    static std::int64_t bytes(std::int64_t kv_heads, std::int64_t channels, std::int64_t tokens) { return type::bytes(kv_heads, channels, tokens); }
    static type in(std::byte* memory, std::int64_t kv_heads, std::int64_t channels, std::int64_t tokens, Tables tables) {
        return {memory, kv_heads, channels, tokens, tables};
    }
    /// After keys [first, first + count) were written; `tile(kv_head, index)` gives them.
    template <class Team, class Tile>
    static void update(type& state, Team& team, std::int64_t first, std::int64_t count, const Tile& tile) {
        state.update(team, first, count, tile);
    }
};

}  // namespace qwen3vl::attention
