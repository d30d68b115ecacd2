#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Keys to a tile. Tiles begin at multiples of it by sequence index, so that no result depends on how a prompt was cut into chunks.
inline constexpr std::int64_t tile_keys = 64;

/// Consecutive keys and values of one head: row i belongs to the sequence index first + i.
template <class Element>
struct Tile {
    const Element* keys = nullptr;    ///< [count, stride]
    const Element* values = nullptr;  ///< [count, stride]
    std::int64_t stride = 0;          ///< elements from row to row: the padded channels
    std::int64_t first = 0;
    std::int64_t count = 0;
};

/// Size of one layer's storage.
struct Extent {
    std::int64_t kv_heads = 0;
    std::int64_t channels = 0;  ///< padded head_dim
    std::int64_t tokens = 0;    ///< context to hold
    std::int64_t span = 0;      ///< the mask's: keys back that a query needs, 0 for all
    std::int64_t sinks = 0;     ///< the mask's: first keys needed for ever
};

}  // namespace qwen3vl::kv_cache
