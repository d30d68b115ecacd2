#pragma once
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/attention/mask_state.hpp>
#include <qwen3vl/kv_cache/either_tile.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// The queries of a chunk over a layer's cache, which holds the chunk's own keys already: the mask takes note of them first. `scratch` holds scratch_floats()
/// for the team's threads.
template <class Arch, class Attention, class Team, class Cache>
void attend_layer(Team& team, const Heads& h, Cache& cache, [[maybe_unused]] typename MaskState<typename Attention::mask>::type& mask, float* scratch) {
    if constexpr (concepts::Recurrent<Attention>) {
        Attention::template attend<Arch>(team, h, cache, scratch);
    } else {
        MaskState<typename Attention::mask>::update(mask, team, h.first, h.tokens,
                                                    [&](std::int64_t head, std::int64_t index) { return cache.tile(head, index, h.keys); });
        attend<Arch, Attention>(team, h, kv_cache::tiles_of(cache, h.keys), scratch, mask);
    }
}

}  // namespace qwen3vl::attention
