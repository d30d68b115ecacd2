#pragma once
#include <algorithm>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/tile.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A number of tokens, as a template argument.
struct Tokens {
    int n = 0;
};

namespace kv_cache {

/// The latest tokens only, in a ring of whole tiles; the mask's sinks stay in tiles of their own. Memory does not grow with the context.
/// Only for masks with a span. Keys are kept after rotation, at the positions they were rotated by.
template <Tokens T, class Codec = Bf16>
struct Ring {
    static_assert(T.n > 0, "qwen3vl: slot kv_cache: Ring needs Tokens above 0");
    static constexpr const char* name = "Ring";
    using codec = Codec;
    using element = typename Codec::element;
    static constexpr bool can_rewind = false;  ///< what was overwritten is gone
    static constexpr std::int64_t capacity = T.n;

    static std::int64_t pinned_tiles(const Extent& e) { return ceil_div(e.sinks, tile_keys); }
    static std::int64_t ring_tiles(const Extent& e) { return ceil_div(T.n - e.sinks, tile_keys); }
    static std::int64_t slots(const Extent& e) { return (pinned_tiles(e) + ring_tiles(e)) * tile_keys; }
    static std::int64_t bytes(const Extent& e) { return 2 * e.kv_heads * slots(e) * e.channels * static_cast<std::int64_t>(sizeof(element)); }
    /// The first token of a chunk still needs span - 1 keys before it when the last one has been written.
    static std::int64_t largest_chunk(const Extent& e) { return ring_tiles(e) * tile_keys - e.span + 1; }

    class Layer {
      public:
        Layer(std::byte* memory, const Extent& e)
            : keys_(reinterpret_cast<element*>(memory)), head_(slots(e) * e.channels), channels_(e.channels), pinned_(pinned_tiles(e)), ring_(ring_tiles(e)) {
            values_ = keys_ + e.kv_heads * head_;
        }
        /// Stores the key and value of one head and token; rows of `channels` floats.
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            const std::int64_t at = kv_head * head_ + (slot(token / tile_keys) * tile_keys + token % tile_keys) * channels_;
            store_row<Arch, Codec>(key, channels_, keys_ + at);
            store_row<Arch, Codec>(value, channels_, values_ + at);
        }
        /// The tile that begins at sequence index tile_keys * index. Rows that later tokens have overwritten lie outside the mask's span.
        Tile<element> tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            const std::int64_t first = index * tile_keys, at = kv_head * head_ + slot(index) * tile_keys * channels_;
            return {keys_ + at, values_ + at, channels_, first, std::min(tile_keys, tokens - first)};
        }

      private:
        std::int64_t slot(std::int64_t tile) const { return tile < pinned_ ? tile : pinned_ + (tile - pinned_) % ring_; }
        element *keys_, *values_;
        std::int64_t head_, channels_, pinned_, ring_;
    };
};

}  // namespace kv_cache
}  // namespace qwen3vl
