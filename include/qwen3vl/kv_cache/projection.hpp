#pragma once
#include <concepts>
#include <cstdint>
#include <qwen3vl/core/rank.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

namespace kv_cache {

/// Layers that keep keys and values as rows of other extents, stored_channels() each: queries are projected to them,
/// and what attention gives is expanded. Also: `template <class Arch> void project(kv_head, query, out) const` and
/// `template <class Arch> void expand(kv_head, row, out) const`, with `out` of the head's channels.
template <class Layer>
concept Projects = requires(const Layer& layer) {
    { layer.stored_channels() } -> std::same_as<std::int64_t>;
};

/// Channels of the tiles of a cache whose heads have `channels`.
template <class Cache>
constexpr std::int64_t stored_channels(std::int64_t channels) {
    if constexpr (requires { Cache::stored_channels(channels); })
        return Cache::stored_channels(channels);
    else
        return channels;
}

}  // namespace kv_cache
}  // namespace qwen3vl
