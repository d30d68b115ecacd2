#pragma once
#include <algorithm>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/kv_cache/tiles.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A number of random features, as a template argument.
struct Features {
    int n = 0;  ///< of a head
};

namespace kv_cache {

/// State of linear attention for one head. Features of a key are held as quotients by the largest of them, 2^top.
struct RecurrentHead {
    float* sums;  ///< [features, channels] over all keys of full tiles: a feature times the value, divided by 2^top[0]
    float* weights;  ///< [features] the features alone, likewise
    float* latest;   ///< [features, tile_keys] of the keys of the latest tile
    float* tops;     ///< [tile_keys] `top` of each of these keys
    float* top;      ///< [1] the largest `top` of all keys of full tiles
};

/// The state of linear attention (attention::Linear, which writes it): for each of F.n features of a head the sum over
/// all full tiles, and the latest tiles as they are. Does not grow with the context. Keys are kept after rotation.
/// Chunk.n tokens fit through the layers at once.
///     kv_cache::Recurrent<Features{256}>, for attention::Linear<Features{256}>
template <Features F = Features{256}, Tokens Chunk = Tokens{128}>
struct Recurrent {
    static_assert(F.n > 0 && F.n % 64 == 0 && Chunk.n > 0,
                  "qwen3vl: slot kv_cache: Recurrent needs a multiple of 64 Features, and Chunk above 0 Tokens");
    static constexpr const char* name = "Recurrent";
    using codec = Float32;
    static constexpr bool recurrent = true;        ///< keeps sums, for attentions that are recurrent too
    static constexpr std::int64_t features = F.n;  ///< of a head
    static constexpr bool can_rewind = false;      ///< sums do not give terms back
    static constexpr bool can_save = true;
    static constexpr std::int64_t capacity = 0;  ///< the session's context

    /// Latest tiles that are kept as they are.
    static constexpr std::int64_t ring_tiles = tiles_of_chunk(Chunk.n);

    static std::int64_t bytes(const Extent& e) {
        return state_bytes(e) + Tiles<codec>::bytes(e.kv_heads, ring_tiles, e.channels);
    }
    static std::int64_t saved_bytes(const Extent& e, std::int64_t tokens) { return tokens > 0 ? bytes(e) : 0; }
    static std::int64_t largest_chunk(const Extent&) { return chunk_within(ring_tiles); }

    class Layer {
      public:
        Layer(std::byte* memory, const Extent& e)
            : state_(reinterpret_cast<float*>(memory)),
              tiles_(memory + state_bytes(e), e.kv_heads, ring_tiles, e.channels),
              extent_(e) {}
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            tiles_.template write<Arch>(kv_head, token / tile_keys % ring_tiles, token % tile_keys, key, value);
        }
        /// Tile `index`, one of the latest.
        Tile<float> tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            return tiles_.tile(kv_head, index % ring_tiles, index * tile_keys,
                               std::min(tile_keys, tokens - index * tile_keys));
        }
        /// The sums of a head, to be read and written.
        RecurrentHead head(std::int64_t kv_head) {
            float* sums = state_ + kv_head * head_floats(extent_);
            float* weights = sums + features * extent_.channels;
            float* latest = weights + features;
            return {sums, weights, latest, latest + features * tile_keys, latest + (features + 1) * tile_keys};
        }
        template <class Visit>
        void for_each_piece(std::int64_t tokens, Visit&& f) {
            if (tokens == 0) return;
            if (const std::int64_t behind = tokens % tile_keys) {
                tiles_.clear((ceil_div(tokens, tile_keys) - 1) % ring_tiles, behind);
                for (std::int64_t h = 0; h < extent_.kv_heads; ++h)
                    for (std::int64_t i = 0; i <= features; ++i)  // the tops behind the features
                        std::fill_n(head(h).latest + i * tile_keys + behind, tile_keys - behind, 0.0f);
            }
            f(std::as_writable_bytes(
                std::span(state_, static_cast<std::size_t>(extent_.kv_heads * head_floats(extent_)))));
            tiles_.for_each_piece(0, ring_tiles, f);
        }

      private:
        float* state_;
        Tiles<codec> tiles_;
        Extent extent_;
    };

  private:
    static std::int64_t head_floats(const Extent& e) {
        return features * (e.channels + 1) + (features + 1) * tile_keys + channel_step;
    }
    static std::int64_t state_bytes(const Extent& e) {
        return e.kv_heads * head_floats(e) * static_cast<std::int64_t>(sizeof(float));
    }
};

}  // namespace kv_cache
}  // namespace qwen3vl
