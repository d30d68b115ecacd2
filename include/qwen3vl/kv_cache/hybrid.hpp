#pragma once
#include <algorithm>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/kv_cache/tile_variant.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Keeps every key and value as `Old`, and the latest ones as `Exact` too, in a ring. A query sees as `Exact` the tile
/// of its own token and as many tiles before it as hold Recent.n tokens, and older ones as `Old`. The boundary depends
/// on the sequence index alone, so that no chunk changes it (as the residual part of Liu et al., 2024, "KIVI: a
/// tuning-free asymmetric 2bit quantization for KV cache"). At most Chunk.n tokens pass through the layers at once.
/// Over Int4, 70 % below Bf16 from 20,000 tokens on, 64 % at 4096.
///     kv_cache::Hybrid<Tokens{128}>
template <Tokens Recent = Tokens{128}, class Exact = Bf16, class Old = Int4, Tokens Chunk = Tokens{128}>
struct Hybrid {
    static_assert(Recent.n > 0 && Chunk.n > 0, "qwen3vl: slot kv_cache: Hybrid needs Recent and Chunk above 0 Tokens");
    static constexpr const char* name = "Hybrid";
    using codec = Old;
    static constexpr bool can_rewind = false;  ///< tokens overwritten in `Exact` are gone
    static constexpr bool can_save = true;
    static constexpr std::int64_t capacity = 0;  ///< the session's context

    /// Tiles that a query sees exactly, its own among them.
    static constexpr std::int64_t recent_tiles = 1 + ceil_div(std::int64_t{Recent.n}, tile_keys);
    /// Tiles of the ring: recent_tiles, and as many as a chunk reaches into beside its first token's.
    static constexpr std::int64_t ring_tiles = recent_tiles + tiles_of_chunk(Chunk.n) - 1;

    static std::int64_t bytes(const Extent& e) {
        return Contiguous<Old>::bytes(e) + Tiles<Exact>::bytes(e.kv_heads, ring_tiles, e.channels);
    }
    static std::int64_t saved_bytes(const Extent& e, std::int64_t tokens) {
        return Contiguous<Old>::saved_bytes(e, tokens) +
               Tiles<Exact>::bytes(e.kv_heads, std::min(ceil_div(tokens, tile_keys), ring_tiles), e.channels);
    }
    static std::int64_t largest_chunk(const Extent&) { return chunk_within(ring_tiles - recent_tiles + 1); }

    class Layer {
      public:
        Layer(std::byte* memory, const Extent& e)
            : old_(memory, e), exact_(memory + Contiguous<Old>::bytes(e), e.kv_heads, ring_tiles, e.channels) {}
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            old_.template write<Arch>(kv_head, token, key, value);
            exact_.template write<Arch>(kv_head, token / tile_keys % ring_tiles, token % tile_keys, key, value);
        }
        /// Tile as queries far behind it see it.
        typename Old::tile tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            return old_.tile(kv_head, index, tokens);
        }
        /// Tile as the queries of the tile that holds query `query` see it.
        TileVariant<typename Exact::tile, typename Old::tile> tile(std::int64_t kv_head, std::int64_t index,
                                                                   std::int64_t tokens, std::int64_t query) const {
            if (index <= query / tile_keys - recent_tiles) return old_.tile(kv_head, index, tokens);
            return exact_.tile(kv_head, index % ring_tiles, index * tile_keys,
                               std::min(tile_keys, tokens - index * tile_keys));
        }
        template <class F>
        void for_each_piece(std::int64_t tokens, F&& f) {
            const std::int64_t used = ceil_div(tokens, tile_keys);
            old_.for_each_piece(tokens, f);
            if (tokens % tile_keys) exact_.clear((used - 1) % ring_tiles, tokens % tile_keys);
            exact_.for_each_piece(0, std::min(used, ring_tiles), f);
        }

      private:
        typename Contiguous<Old>::Layer old_;
        Tiles<Exact> exact_;
    };
};

}  // namespace qwen3vl::kv_cache
