#pragma once
#include <cstdint>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/half.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Keys to a tile. Tiles begin at multiples of it by sequence index, so that no result depends on how a prompt was cut
/// into chunks.
inline constexpr std::int64_t tile_keys = 64;

/// Most tiles that a chunk of `tokens` tokens reaches into, wherever it begins.
constexpr std::int64_t tiles_of_chunk(std::int64_t tokens) { return 1 + ceil_div(tokens - 1, tile_keys); }
/// Tokens of the longest chunk that reaches into at most `tiles` tiles.
constexpr std::int64_t chunk_within(std::int64_t tiles) { return (tiles - 1) * tile_keys + 1; }

/// Consecutive keys and values of one head, laid out for sums of outer products: a channel of all keys together, all
/// channels of a value together. Key i belongs to the sequence index first + i. Elements at i >= count are readable,
/// but have no meaning.
template <class Element>
struct Tile {
    const Element* keys = nullptr;       ///< [channels, tile_keys]
    const Element* values = nullptr;     ///< [tile_keys, channels]
    std::int64_t channels = 0;           ///< padded head_dim; the padding is zero
    std::int64_t first = 0;              ///< sequence index of key 0
    std::int64_t count = 0;              ///< keys with a meaning, at most tile_keys
    const bf16* key_scales = nullptr;    ///< [tile_keys] factor of each key; null: 1
    const bf16* value_scales = nullptr;  ///< [tile_keys] factor of each value; null: 1
    const Element* next = nullptr;  ///< keys of the tile behind this one, to be asked for ahead; null: they lie behind
                                    ///< in memory, or nobody knows

    float key(std::int64_t i, std::int64_t channel) const {
        const auto k = static_cast<float>(keys[channel * tile_keys + i]);
        return key_scales ? k * static_cast<float>(key_scales[i]) : k;
    }
    float value(std::int64_t i, std::int64_t channel) const {
        const auto v = static_cast<float>(values[i * channels + channel]);
        return value_scales ? v * static_cast<float>(value_scales[i]) : v;
    }
};

/// Size of one layer's storage.
struct Extent {
    std::int64_t kv_heads = 0;  ///< heads of keys and values
    std::int64_t channels = 0;  ///< padded head_dim
    std::int64_t tokens = 0;    ///< context to hold
    std::int64_t span = 0;      ///< the mask's: keys back that a query needs, 0 for all
    std::int64_t sinks = 0;     ///< the mask's: first keys needed for ever
};

}  // namespace qwen3vl::kv_cache
