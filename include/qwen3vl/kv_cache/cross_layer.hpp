#pragma once
#include <qwen3vl/kv_cache/contiguous.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Groups of consecutive layers that share keys and values.
struct LayerGroups {
    int size = 2;   ///< layers to a group
    int first = 0;  ///< layers before the first group, which have caches of their own
};

namespace kv_cache {

/// The layers of a group share the keys and values of the group's first layer (Brandon et al., 2024, "Reducing
/// transformer key-value cache size with cross-layer attention"): the others only ask. Their k and v projections are
/// not used, which changes what a model computes that was not trained so.
///     kv_cache::CrossLayer<kv_cache::Contiguous<>, LayerGroups{.size = 2, .first = 4}>
template <class Inner = Contiguous<>, LayerGroups G = LayerGroups{}>
struct CrossLayer : Inner {
    static_assert(G.size > 0 && G.first >= 0,
                  "qwen3vl: slot kv_cache: CrossLayer needs groups of a size above 0, and first from 0");
    static constexpr const char* name = "CrossLayer";
    /// The layer whose keys and values a layer sees.
    static constexpr int owner(int layer) { return layer < G.first ? layer : layer - (layer - G.first) % G.size; }
};

/// Layer whose keys and values `layer` sees: Cache::owner(layer), or the layer itself where the cache shares none.
template <class Cache>
constexpr int owner_of(int layer) {
    if constexpr (requires { Cache::owner(layer); })
        return Cache::owner(layer);
    else
        return layer;
}
/// True if layers share keys and values.
template <class Cache>
inline constexpr bool shares_layers = requires {
    Cache::owner(0);
};

}  // namespace kv_cache
}  // namespace qwen3vl
