#pragma once
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/attention/key_ratings.hpp>
#include <qwen3vl/attention/mask_state.hpp>
#include <qwen3vl/core/row_blocks.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/kv_cache/projection.hpp>

/// A layer's attention: algorithm, mask and cache together.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

namespace detail {
/// Attends over an evicting cache, in parts that end where it evicts. Queries that it rates by pass over the keys a
/// second time.
template <class Arch, class Attention, class Team, class Cache>
void attend_and_rate(Team& team, const Heads& h, Cache& cache, float* scratch) {
    constexpr std::int64_t width = kv_cache::tile_keys, rated = Cache::rating::queries, most = Cache::budget + width;
    const std::int64_t each = rating_floats(h.channels, most);
    for (std::int64_t token = 0, count; token < h.tokens; token += count) {
        const std::int64_t first = h.first + token, at = first % width;
        count = std::min(h.tokens - token, width - at);
        const std::int64_t end = first + count, seen = cache.seen(end);
        const Heads part = h.part(token, count, seen - count, seen);
        const auto tiles = kv_cache::tiles_of(cache, end);
        attend<Arch, Attention>(team, part, tiles, scratch);
        const std::int64_t unrated = std::clamp<std::int64_t>(width - rated - at, 0, count);
        team.run(h.kv_heads, [&](std::int64_t head, int thread) {
            if (at == 0) cache.begin(head, first);
            float* own = scratch + thread * each;
            if (unrated < count)
                rate_keys<Arch>(part.block(head, unrated, count - unrated), tiles_for(tiles, head, seen),
                                cache.ratings(head), own);
            if (at + count == width) cache.settle(head, end, reinterpret_cast<std::int32_t*>(own));
        });
    }
}
}  // namespace detail

/// Floats of scratch for a chunk of `tokens` over at most `keys` keys, on `threads` threads.
template <class Attention, class Cache>
std::int64_t layer_scratch_floats(int threads, std::int64_t kv_heads, std::int64_t group, std::int64_t channels,
                                  std::int64_t tokens, std::int64_t keys) {
    std::int64_t floats =
        scratch_floats<Attention>(threads, kv_heads, group, kv_cache::stored_channels<Cache>(channels), keys);
    if constexpr (kv_cache::Evicts<typename Cache::Layer>)
        floats = std::max(
            scratch_floats<Attention>(threads, kv_heads, group, channels, Cache::Layer::budget + kv_cache::tile_keys),
            threads * rating_floats(channels, Cache::Layer::budget + kv_cache::tile_keys));
    if constexpr (kv_cache::Offloads<Cache>)
        floats = std::max(floats, staged_scratch_floats<Attention>(threads, tokens, kv_heads, group, channels, keys));
    if constexpr (kv_cache::Projects<typename Cache::Layer>)
        return floats + 2 * tokens * kv_heads * group * Cache::stored_channels(channels) + threads * channels;
    else
        return floats;
}

/// Attends with the queries of a chunk over a layer's cache, which already holds the chunk's own keys; the mask's state
/// takes note of them first. `scratch` holds layer_scratch_floats() for the team's threads.
template <class Arch, class Attention, class Team, class Cache>
void attend_layer(Team& team, const Heads& h, Cache& cache,
                  [[maybe_unused]] typename MaskState<typename Attention::mask>::type& mask, float* scratch) {
    if constexpr (concepts::Recurrent<Attention>) {
        Attention::template attend<Arch>(team, h, cache, scratch);
    } else if constexpr (kv_cache::Evicts<Cache>) {
        detail::attend_and_rate<Arch, Attention>(team, h, cache, scratch);
    } else {
        MaskState<typename Attention::mask>::update(mask, team, h.first, h.tokens,
                                                    kv_cache::later_tiles_of(cache, h.keys));
        const auto tiles = kv_cache::tiles_of(cache, h.keys);
        if constexpr (kv_cache::Projects<Cache>) {
            const std::int64_t heads = h.kv_heads * h.group, stored = cache.stored_channels(), rows = h.tokens * heads;
            float *queries = scratch, *attended = queries + rows * stored, *expanded = attended + rows * stored,
                  *rest = expanded + team.threads() * h.channels;
            execution::for_row_blocks(team, rows, 16, [&](std::int64_t begin, std::int64_t end, int) {
                for (std::int64_t r = begin; r < end; ++r)
                    cache.template project<Arch>(r / (h.tokens * h.group), h.queries + r * h.channels,
                                                 queries + r * stored);
            });
            attend<Arch, Attention>(
                team,
                {queries, h.tokens, h.kv_heads, h.group, stored, stored, h.first, h.keys, attended, heads * stored},
                tiles, rest, mask);
            execution::for_row_blocks(team, rows, 16, [&](std::int64_t begin, std::int64_t end, int thread) {
                float* row = expanded + thread * h.channels;
                for (std::int64_t r = begin; r < end; ++r) {
                    cache.template expand<Arch>(r % heads / h.group, attended + r * stored, row);
                    std::copy_n(row, h.head_dim, h.out + r / heads * h.out_stride + r % heads * h.head_dim);
                }
            });
        } else {
            attend<Arch, Attention>(team, h, tiles, scratch, mask);
        }
    }
}

}  // namespace qwen3vl::attention
