#pragma once
#include <algorithm>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/kv_cache/tiles.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Tokens that an evicting cache never evicts.
struct Protected {
    int sinks = 4;    ///< first tokens
    int recent = 64;  ///< latest tokens
};

namespace kv_cache {

/// A rating of keys by all probabilities that a key ever got, summed over a group's heads (Zhang et al., 2023, "H2O:
/// heavy-hitter oracle for efficient generative inference of large language models", algorithm 1). Any rating: by the
/// last `queries` of every 64 queries, which accumulate or count alone.
///     kv_cache::Evicting<Tokens{1024}, kv_cache::HeavyHitters>
struct HeavyHitters {
    static constexpr const char* cache = "Evicting/HeavyHitters";  ///< name of the cache
    static constexpr std::int64_t queries = tile_keys;             ///< of every 64, those that rate
    static constexpr bool accumulates = true;                      ///< probabilities of all queries so far add up
};
/// A rating of keys by what the latest Window.n queries look at (Li et al., 2024, "SnapKV: LLM knows what you are
/// looking for before generation", section 4), without its pooling of neighbours.
///     kv_cache::Evicting<Tokens{1024}, kv_cache::LatestQueries<Tokens{16}>>
template <Tokens Window = Tokens{16}>
struct LatestQueries {
    static_assert(Window.n > 0 && Window.n <= tile_keys,
                  "qwen3vl: slot kv_cache: LatestQueries needs a Window of 1 to 64 Tokens");
    static constexpr const char* cache = "Evicting/LatestQueries";  ///< name of the cache
    static constexpr std::int64_t queries = Window.n;               ///< of every 64, those that rate
    static constexpr bool accumulates = false;                      ///< the latest queries count alone
};
/// Rating by age alone: the sinks and the latest tokens stay (Xiao et al., 2024, "Efficient streaming language models
/// with attention sinks").
///     kv_cache::Evicting<Tokens{1024}, kv_cache::Age>
struct Age {
    static constexpr const char* cache = "Evicting/Age";  ///< name of the cache
    static constexpr std::int64_t queries = 0;            ///< none rates
    static constexpr bool accumulates = false;            ///< no probabilities are needed
};

/// Keeps Budget.n tokens of each head, and those since the last multiple of 64. At every 64th token the 64 keys with
/// the lowest ratings are evicted, of equal ones the oldest; sinks and recent tokens stay. Evicting at these sequence
/// indices alone makes the result independent of how a prompt was cut into chunks. A query sees the keys left at the
/// last eviction, and all tokens since. Keys are kept after rotation, at the positions they were rotated by. Ratings
/// need probabilities, which attention does not keep: a second pass over the queries of `Rating` multiplies them with
/// the keys again. For mask::Causal. Exact while the Budget is not reached.
///     kv_cache::Evicting<Tokens{1024}, kv_cache::HeavyHitters>
template <Tokens Budget, class Rating = HeavyHitters, Protected P = Protected{}, class Codec = Bf16,
          Tokens Chunk = Tokens{128}>
struct Evicting {
    static_assert(Budget.n > 0 && Budget.n % tile_keys == 0 && P.sinks >= 0 && P.recent >= 0 &&
                      P.sinks + P.recent <= Budget.n && Chunk.n > 0,
                  "qwen3vl: slot kv_cache: Evicting needs a Budget of a multiple of 64 Tokens that holds the sinks and "
                  "the recent ones, and a Chunk above 0");
    static constexpr const char* name = Rating::cache;
    using codec = Codec;
    using rating = Rating;                     ///< how keys are rated
    static constexpr bool can_rewind = false;  ///< evicted keys are gone
    static constexpr bool can_save = true;
    static constexpr std::int64_t capacity = 0;       ///< the session's context
    static constexpr std::int64_t budget = Budget.n;  ///< tokens kept of each head

    /// Tiles behind them that a chunk may reach into.
    static constexpr std::int64_t ring_tiles = tiles_of_chunk(Chunk.n);
    static std::int64_t bytes(const Extent& e) {
        return books_bytes(e) + Tiles<Codec>::bytes(e.kv_heads, budget / tile_keys + ring_tiles, e.channels);
    }
    static std::int64_t saved_bytes(const Extent& e, std::int64_t tokens) { return tokens > 0 ? bytes(e) : 0; }
    static std::int64_t largest_chunk(const Extent&) { return chunk_within(ring_tiles); }

    class Layer {
      public:
        static constexpr std::int64_t budget = Evicting::budget;  ///< tokens kept of each head
        using rating = Rating;                                    ///< how keys are rated
        Layer(std::byte* memory, const Extent& e)
            : books_(memory),
              tiles_(memory + books_bytes(e), e.kv_heads, budget / tile_keys + ring_tiles, e.channels),
              extent_(e) {}
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            tiles_.template write<Arch>(kv_head, in_ring(token / tile_keys), token % tile_keys, key, value);
        }
        /// Keys that the last of the first `tokens` tokens sees: those kept of full tiles, in an order of their own,
        /// and its own tile's.
        static std::int64_t seen(std::int64_t tokens) {
            const std::int64_t full = (tokens - 1) / tile_keys * tile_keys;
            return std::min(full, budget) + tokens - full;
        }
        /// Tile `index` of seen(tokens) keys.
        typename Codec::tile tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            const std::int64_t last = (tokens - 1) / tile_keys, kept = std::min(last, budget / tile_keys);
            return tiles_.tile(kv_head, index < kept ? index : in_ring(last), index * tile_keys,
                               std::min(tile_keys, index < kept ? tile_keys : tokens - last * tile_keys));
        }
        /// Ratings so far [budget + 64] of the keys kept, and of the latest tile's.
        float* ratings(std::int64_t kv_head) const { return reinterpret_cast<float*>(book(kv_head)); }

        /// Prepares the ratings before the first key of a tile, token `token`, is rated.
        void begin(std::int64_t kv_head, std::int64_t token) {
            const std::int64_t kept = std::min(token, budget), known = Rating::accumulates ? kept : 0;
            std::fill_n(ratings(kv_head) + known, kept + tile_keys - known, 0.0f);
        }
        /// Adds the tile that ends with token tokens - 1 to the keys kept; over the budget, evicts the 64 keys rated
        /// lowest. `order`: scratch for budget + 64 numbers.
        void settle(std::int64_t kv_head, std::int64_t tokens, std::int32_t* order) {
            const std::int64_t index = tokens / tile_keys - 1, kept = std::min(index * tile_keys, budget);
            float* rated = ratings(kv_head);
            std::int32_t* place = places(kv_head);
            for (std::int64_t i = 0; i < tile_keys; ++i)
                place[kept + i] = static_cast<std::int32_t>(index * tile_keys + i);
            if (kept < budget) {
                tiles_.copy(kv_head, in_ring(index), kept / tile_keys);
            } else {
                std::int64_t n = 0;
                for (std::int64_t i = 0; i < budget + tile_keys; ++i)
                    if (place[i] >= P.sinks && place[i] < tokens - P.recent) order[n++] = static_cast<std::int32_t>(i);
                std::nth_element(order, order + tile_keys - 1, order + n, [&](std::int32_t a, std::int32_t b) {
                    return rated[a] != rated[b] ? rated[a] < rated[b] : place[a] < place[b];
                });
                std::sort(order, order + tile_keys);
                // the free places, in ascending order, take those of the latest tile that stay
                const std::int32_t* gone =
                    std::lower_bound(order, order + tile_keys, static_cast<std::int32_t>(budget));
                const std::int32_t* free = order;
                for (std::int64_t i = budget; i < budget + tile_keys; ++i) {
                    if (gone != order + tile_keys && *gone == i) {
                        ++gone;
                        continue;
                    }
                    const std::int64_t to = *free++;
                    tiles_.copy_row(kv_head, in_ring(index), i - budget, to / tile_keys, to % tile_keys);
                    rated[to] = rated[i];
                    place[to] = place[i];
                }
            }
        }

        template <class F>
        void for_each_piece(std::int64_t tokens, F&& f) {
            if (tokens == 0) return;
            if (tokens % tile_keys) tiles_.clear(in_ring(tokens / tile_keys), tokens % tile_keys);
            f(std::span(books_, static_cast<std::size_t>(books_bytes(extent_))));
            tiles_.for_each_piece(0, budget / tile_keys + ring_tiles, f);
        }

      private:
        static std::int64_t in_ring(std::int64_t index) { return budget / tile_keys + index % ring_tiles; }
        std::byte* book(std::int64_t kv_head) const { return books_ + kv_head * book_bytes; }
        std::int32_t* places(std::int64_t kv_head) const {
            return reinterpret_cast<std::int32_t*>(book(kv_head)) + budget + tile_keys;
        }
        std::byte* books_;  ///< [kv_heads]: ratings, sequence indices
        Tiles<Codec> tiles_;
        Extent extent_;
    };

  private:
    static constexpr std::int64_t book_bytes = 2 * (budget + tile_keys) * static_cast<std::int64_t>(sizeof(float));
    static std::int64_t books_bytes(const Extent& e) { return e.kv_heads * book_bytes; }
};

}  // namespace kv_cache
}  // namespace qwen3vl
