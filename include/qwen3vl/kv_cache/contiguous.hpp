#pragma once
#include <algorithm>
#include <limits>
#include <qwen3vl/kv_cache/tiles.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Every token of the context at its own place. Keys are kept after rotation, so that a step rotates one key and not
/// all.
///     kv_cache::Contiguous<kv_cache::Int8>
template <class Codec = Bf16>
struct Contiguous {
    static constexpr const char* name = "Contiguous";
    using codec = Codec;
    static constexpr bool can_rewind = true;
    static constexpr bool can_save = true;
    static constexpr std::int64_t capacity = 0;  ///< tokens it holds at most; 0: the session's context

    /// Tiles of a head for the whole context.
    static std::int64_t tiles(const Extent& e) { return ceil_div(e.tokens, tile_keys); }
    /// Bytes of one layer.
    static std::int64_t bytes(const Extent& e) { return Tiles<Codec>::bytes(e.kv_heads, tiles(e), e.channels); }
    /// Bytes that Layer::for_each_piece gives.
    static std::int64_t saved_bytes(const Extent& e, std::int64_t tokens) {
        return Tiles<Codec>::bytes(e.kv_heads, ceil_div(tokens, tile_keys), e.channels);
    }
    /// Tokens that may be written before the first of them is read.
    static std::int64_t largest_chunk(const Extent&) { return std::numeric_limits<std::int64_t>::max(); }

    /// One layer's keys and values, in memory that the caller owns: bytes(extent), zeroed.
    class Layer {
      public:
        Layer(std::byte* memory, const Extent& e) : tiles_(memory, e.kv_heads, tiles(e), e.channels) {}
        /// Stores the key and value of one head and token; rows of `channels` floats.
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            tiles_.template write<Arch>(kv_head, token / tile_keys, token % tile_keys, key, value);
        }
        /// The tile that begins at sequence index tile_keys * index, as far as `tokens` tokens are stored.
        typename Codec::tile tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            return tiles_.tile(kv_head, index, index * tile_keys, std::min(tile_keys, tokens - index * tile_keys));
        }
        /// f(bytes) for the memory that holds the first `tokens` tokens, zeros behind them: what a file of the cache
        /// keeps. The order does not depend on the context, so that another layer of this type can be filled with it.
        template <class F>
        void for_each_piece(std::int64_t tokens, F&& f) {
            const std::int64_t used = ceil_div(tokens, tile_keys);
            if (tokens % tile_keys) tiles_.clear(used - 1, tokens % tile_keys);
            tiles_.for_each_piece(0, used, f);
        }

      private:
        Tiles<Codec> tiles_;
    };
};

}  // namespace qwen3vl::kv_cache
