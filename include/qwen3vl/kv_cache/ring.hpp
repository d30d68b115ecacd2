#pragma once
#include <algorithm>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/kv_cache/tiles.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// The latest tokens only, in a ring of whole tiles; the mask's sinks stay in tiles of their own. Memory does not grow
/// with the context. Only for masks with a span. Keys are kept after rotation, at the positions they were rotated by.
///     kv_cache::Ring<Tokens{4608}, kv_cache::Int8>, for mask::SlidingWindow<Window{.tokens = 4096, .sinks = 4}>
template <Tokens T, class Codec = Bf16>
struct Ring {
    static_assert(T.n > 0, "qwen3vl: slot kv_cache: Ring needs Tokens above 0");
    static constexpr const char* name = "Ring";
    using codec = Codec;
    static constexpr bool can_rewind = false;  ///< overwritten tokens are gone
    static constexpr bool can_save = true;
    static constexpr std::int64_t capacity = T.n;

    /// Tiles of a head for the mask's sinks.
    static std::int64_t pinned_tiles(const Extent& e) { return ceil_div(e.sinks, tile_keys); }
    /// Tiles of a head for the latest tokens.
    static std::int64_t ring_tiles(const Extent& e) { return ceil_div(T.n - e.sinks, tile_keys); }
    /// Bytes of one layer.
    static std::int64_t bytes(const Extent& e) {
        return Tiles<Codec>::bytes(e.kv_heads, pinned_tiles(e) + ring_tiles(e), e.channels);
    }
    /// Bytes that Layer::for_each_piece gives.
    static std::int64_t saved_bytes(const Extent& e, std::int64_t tokens) {
        return Tiles<Codec>::bytes(e.kv_heads, std::min(ceil_div(tokens, tile_keys), pinned_tiles(e) + ring_tiles(e)),
                                   e.channels);
    }
    /// The first token of a chunk still needs span - 1 keys before it when the last one has been written.
    static std::int64_t largest_chunk(const Extent& e) { return ring_tiles(e) * tile_keys - e.span + 1; }

    class Layer {
      public:
        Layer(std::byte* memory, const Extent& e)
            : tiles_(memory, e.kv_heads, pinned_tiles(e) + ring_tiles(e), e.channels),
              pinned_(pinned_tiles(e)),
              ring_(ring_tiles(e)) {}
        /// Stores the key and value of one head and token; rows of `channels` floats.
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            tiles_.template write<Arch>(kv_head, place(token / tile_keys), token % tile_keys, key, value);
        }
        /// The tile that begins at sequence index tile_keys * index. Keys that later tokens have overwritten lie
        /// outside the mask's span.
        typename Codec::tile tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            return tiles_.tile(kv_head, place(index), index * tile_keys,
                               std::min(tile_keys, tokens - index * tile_keys));
        }
        /// f(bytes) for the memory that holds what is left of the first `tokens` tokens: what a file of the cache
        /// keeps. Behind them lie zeros, or, once the ring has gone round, keys that the mask may still show.
        template <class F>
        void for_each_piece(std::int64_t tokens, F&& f) {
            const std::int64_t used = ceil_div(tokens, tile_keys);
            if (tokens % tile_keys && used <= pinned_ + ring_) tiles_.clear(used - 1, tokens % tile_keys);
            tiles_.for_each_piece(0, std::min(used, pinned_ + ring_), f);
        }

      private:
        std::int64_t place(std::int64_t index) const {
            return index < pinned_ ? index : pinned_ + (index - pinned_) % ring_;
        }
        Tiles<Codec> tiles_;
        std::int64_t pinned_, ring_;
    };
};

}  // namespace qwen3vl::kv_cache
