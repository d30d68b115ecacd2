#pragma once
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Decoder layers `first`, `first` + `every`, …: those that a fusion policy stands before.
struct CrossLayers {
    int every = 4;  ///< layers from one to the next
    int first = 0;  ///< the first of them
    /// True if `layer` is one of them.
    constexpr bool contains(int layer) const { return layer >= first && (layer - first) % every == 0; }
    /// How many of `layers` decoder layers these are, and which of them `layer` is.
    constexpr int count(int layers) const { return layers <= first ? 0 : (layers - first - 1) / every + 1; }
    /// The decoder layer that is number `index` of them.
    constexpr int layer(int index) const { return first + index * every; }
    /// Number of a decoder layer among them, which contain it.
    constexpr int index(int layer) const { return (layer - first) / every; }
};

}  // namespace qwen3vl::fusion
