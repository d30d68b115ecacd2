#pragma once
#include <algorithm>
#include <limits>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/tile.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Every token of the context at its own place: [kv_heads, tokens, channels], keys and values apart. Keys are kept after rotation, so that a
/// step rotates one key and not all.
template <class Codec = Bf16>
struct Contiguous {
    static constexpr const char* name = "Contiguous";
    using codec = Codec;
    using element = typename Codec::element;
    static constexpr bool can_rewind = true;
    static constexpr std::int64_t capacity = 0;  ///< tokens it holds at most; 0: the session's context

    static std::int64_t slots(const Extent& e) { return round_up(e.tokens, tile_keys); }
    /// Bytes of one layer.
    static std::int64_t bytes(const Extent& e) { return 2 * e.kv_heads * slots(e) * e.channels * static_cast<std::int64_t>(sizeof(element)); }
    /// Tokens that may be written before the first of them is read.
    static std::int64_t largest_chunk(const Extent&) { return std::numeric_limits<std::int64_t>::max(); }

    /// One layer's keys and values in memory that somebody else owns: bytes(extent), zeroed.
    class Layer {
      public:
        Layer(std::byte* memory, const Extent& e) : keys_(reinterpret_cast<element*>(memory)), head_(slots(e) * e.channels), channels_(e.channels) {
            values_ = keys_ + e.kv_heads * head_;
        }
        /// Stores the key and value of one head and token; rows of `channels` floats.
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            const std::int64_t at = kv_head * head_ + token * channels_;
            store_row<Arch, Codec>(key, channels_, keys_ + at);
            store_row<Arch, Codec>(value, channels_, values_ + at);
        }
        /// The tile that begins at sequence index tile_keys * index, as far as `tokens` tokens are stored.
        Tile<element> tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            const std::int64_t first = index * tile_keys, at = kv_head * head_ + first * channels_;
            return {keys_ + at, values_ + at, channels_, first, std::min(tile_keys, tokens - first)};
        }

      private:
        element *keys_, *values_;
        std::int64_t head_, channels_;
    };
};

}  // namespace qwen3vl::kv_cache
