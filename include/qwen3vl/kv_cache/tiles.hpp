#pragma once
#include <algorithm>
#include <cstddef>
#include <qwen3vl/kv_cache/codec.hpp>
#include <span>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Storage of one layer under every cache that keeps whole tiles: [kv_heads, tiles] of the codec's. The caller owns the
/// memory: bytes(kv_heads, tiles, channels), zeroed, aligned to 64.
template <class Codec>
class Tiles {
  public:
    /// Bytes of a layer.
    static std::int64_t bytes(std::int64_t kv_heads, std::int64_t tiles, std::int64_t channels) {
        return kv_heads * tiles * Codec::tile_bytes(channels);
    }

    /// Lays the tiles over memory.
    Tiles(std::byte* memory, std::int64_t kv_heads, std::int64_t tiles, std::int64_t channels)
        : memory_(memory), kv_heads_(kv_heads), tiles_(tiles), channels_(channels) {}

    /// Stores a key and a value, rows of `channels` floats, as number `i` of a tile.
    template <class Arch>
    void write(std::int64_t kv_head, std::int64_t tile, std::int64_t i, const float* key, const float* value) {
        Codec::template write<Arch>(at(kv_head, tile), channels_, i, key, value);
    }
    /// Keys and values of a tile; the caller gives its place in the sequence.
    typename Codec::tile tile(std::int64_t kv_head, std::int64_t tile, std::int64_t first, std::int64_t count) const {
        return Codec::view(at(kv_head, tile), channels_, first, count);
    }
    /// Copies tile `from` of a head to tile `to`.
    void copy(std::int64_t kv_head, std::int64_t from, std::int64_t to) {
        std::copy_n(at(kv_head, from), Codec::tile_bytes(channels_), at(kv_head, to));
    }
    /// Copies key and value i of tile `from` to place j of tile `to`.
    void copy_row(std::int64_t kv_head, std::int64_t from, std::int64_t i, std::int64_t to, std::int64_t j) {
        Codec::copy(at(kv_head, from), i, at(kv_head, to), j, channels_);
    }
    /// Zeroes the keys and values of a tile from number `from` on, for every head.
    void clear(std::int64_t tile, std::int64_t from) {
        for (std::int64_t h = 0; h < kv_heads_; ++h) Codec::clear(at(h, tile), channels_, from);
    }
    /// f(bytes) for the memory of `count` tiles from `first` on, in an order that the number of tiles behind them does
    /// not change: bytes(kv_heads, count, channels) in all.
    template <class F>
    void for_each_piece(std::int64_t first, std::int64_t count, F&& f) {
        if (count == 0) return;
        for (std::int64_t h = 0; h < kv_heads_; ++h)
            f(std::span(at(h, first), static_cast<std::size_t>(count * Codec::tile_bytes(channels_))));
    }

  private:
    std::byte* at(std::int64_t kv_head, std::int64_t tile) const {
        return memory_ + (kv_head * tiles_ + tile) * Codec::tile_bytes(channels_);
    }

    std::byte* memory_;
    std::int64_t kv_heads_, tiles_, channels_;
};

}  // namespace qwen3vl::kv_cache
