#pragma once
#include <concepts>
#include <cstdint>
#include <qwen3vl/kv_cache/tile.hpp>

/// Access to a layer of any cache, for attention and sessions. Caches that do more than give tiles show it by the
/// members that they have.
namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Layers of caches whose tiles depend on the query: tile(kv_head, index, tokens, query), equal for all queries of a
/// tile.
template <class Layer>
concept TilesByQuery = requires(const Layer& layer, std::int64_t i) {
    layer.tile(i, i, i, i);
};

/// Tiles of which the first away() are not in memory. ask(first, last, for_each_wanted) begins to read some of tiles
/// [first, last), at most most_tiles() of them; await(first) waits for them. From then on tiles(kv_head, index) gives
/// them, until the next await() or release(); meanwhile `ahead` others may be asked for. ask_next() asks for tiles of
/// the layer that attends next. bring(first, last) asks and waits for all heads' tiles.
template <class T>
concept StagedTiles = requires(const T& tiles, std::int64_t i) {
    { tiles.away() } -> std::same_as<std::int64_t>;
    { tiles.most_tiles() } -> std::same_as<std::int64_t>;
    { T::ahead } -> std::convertible_to<std::int64_t>;
    tiles.await(i);
    tiles.bring(i, i);
    tiles.release();
};

/// Caches that keep some tiles in a file: file_bytes(extent) of each layer, frame_bytes(extent, keys) for as many keys
/// as come together, and Layer(memory, extent, place in a TileStore).
template <class Cache>
concept Offloads = requires {
    typename Cache::Place;
};

/// Caches whose layers lie in pages of a PageStore: page_bytes(extent) of each layer, and Layer(page table, offset in a
/// page, extent).
template <class Cache>
concept Pages = requires(const Extent& e) {
    { Cache::page_bytes(e) } -> std::same_as<std::int64_t>;
};

/// Layers that hold a bounded number of keys and evict others by their ratings. The last of `tokens` tokens sees
/// seen(tokens) keys, in tiles of their own order. begin(kv_head, token) is called before the first key of a tile is
/// rated, settle(kv_head, tokens, order) after the last.
template <class Layer>
concept Evicts = requires(const Layer& layer, std::int64_t i) {
    { layer.seen(i) } -> std::same_as<std::int64_t>;
    { layer.ratings(i) } -> std::same_as<float*>;
};

/// Caches whose bytes for a token depend on its modality: Layer(memory, extent, modalities of the tokens),
/// holds(extent, text tokens, visual tokens), and saved_bytes() of as many.
template <class Cache>
concept ByModalities = requires {
    requires Cache::by_modality;
};
/// Caches of one sequence that a fork copies.
template <class Cache>
concept CopiedByForks = requires {
    requires Cache::copied_by_forks;
};
/// Bytes of so many tokens of a layer in a file, of which `visual` are of pictures.
template <class Cache>
std::int64_t saved_bytes(const Extent& e, std::int64_t tokens, [[maybe_unused]] std::int64_t visual) {
    if constexpr (ByModalities<Cache>)
        return Cache::saved_bytes(e, tokens - visual, visual);
    else
        return Cache::saved_bytes(e, tokens);
}

/// Callable f(kv_head, index) -> tile over the first `tokens` keys, as seen by queries far behind them. Refers to the
/// layer.
template <class Layer>
auto later_tiles_of(const Layer& layer, std::int64_t tokens) {
    if constexpr (requires { layer.reader(tokens); })
        return layer.reader(tokens);
    else
        return [&layer, tokens](std::int64_t head, std::int64_t index) { return layer.tile(head, index, tokens); };
}
/// Callable that gives attention a layer's tiles: f(kv_head, index, query) -> tile where they depend on the query, else
/// f(kv_head, index). Refers to the layer.
template <class Layer>
auto tiles_of(const Layer& layer, std::int64_t tokens) {
    if constexpr (TilesByQuery<Layer>)
        return [&layer, tokens](std::int64_t head, std::int64_t index, std::int64_t query) {
            return layer.tile(head, index, tokens, query);
        };
    else
        return later_tiles_of(layer, tokens);
}

/// Makes room for tokens [first, first + count), at most the cache's largest_chunk(), before they are written; earlier
/// ones at or behind `first` become void. Throws FileError or PoolExhausted where the cache cannot; it then still holds
/// the tokens before `first`.
template <class Layer>
void reserve_tokens(Layer& layer, std::int64_t first, std::int64_t count) {
    if constexpr (requires { layer.reserve_tokens(first, count); }) layer.reserve_tokens(first, count);
}

/// f(bytes) for the memory of the first `tokens` tokens, as Layer::for_each_piece, but for f to fill.
template <class Layer, class F>
void fill_pieces(Layer& layer, std::int64_t tokens, F&& f) {
    if constexpr (requires { layer.fill_pieces(tokens, f); })
        layer.fill_pieces(tokens, f);
    else
        layer.for_each_piece(tokens, f);
}

}  // namespace qwen3vl::kv_cache
