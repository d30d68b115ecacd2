#pragma once
#include <qwen3vl/kv_cache/tile.hpp>
#include <variant>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// A tile of one kind or the other.
template <class A, class B>
struct EitherTile : std::variant<A, B> {
    using std::variant<A, B>::variant;
    /// f(tile) of its kind.
    template <class F>
    decltype(auto) visit(F&& f) const {
        return std::visit(f, static_cast<const std::variant<A, B>&>(*this));
    }
    float key(std::int64_t i, std::int64_t channel) const {
        return visit([&](const auto& t) { return t.key(i, channel); });
    }
    float value(std::int64_t i, std::int64_t channel) const {
        return visit([&](const auto& t) { return t.value(i, channel); });
    }
};

/// Layers of caches whose tiles depend on who asks: tile(kv_head, index, tokens, query), the same for all queries of a tile.
template <class Layer>
concept TilesByQuery = requires(const Layer& layer, std::int64_t i) {
    layer.tile(i, i, i, i);
};

/// What gives the tiles of a layer that holds so many tokens: f(kv_head, index), or f(kv_head, index, query) where they depend on it.
template <class Layer>
auto tiles_of(const Layer& layer, std::int64_t tokens) {
    if constexpr (TilesByQuery<Layer>)
        return [&layer, tokens](std::int64_t head, std::int64_t index, std::int64_t query) { return layer.tile(head, index, tokens, query); };
    else
        return [&layer, tokens](std::int64_t head, std::int64_t index) { return layer.tile(head, index, tokens); };
}

}  // namespace qwen3vl::kv_cache
