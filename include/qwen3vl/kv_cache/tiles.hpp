#pragma once
#include <algorithm>
#include <cstddef>
#include <qwen3vl/kv_cache/codec.hpp>
#include <span>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// The storage of one layer under every cache that keeps whole tiles: [kv_heads, tiles] of the codec's. The memory belongs to somebody else:
/// bytes(kv_heads, tiles, channels), zeroed, aligned to 64.
template <class Codec>
class Tiles {
  public:
    static std::int64_t bytes(std::int64_t kv_heads, std::int64_t tiles, std::int64_t channels) { return kv_heads * tiles * Codec::tile_bytes(channels); }

    Tiles(std::byte* memory, std::int64_t kv_heads, std::int64_t tiles, std::int64_t channels)
        : memory_(memory), kv_heads_(kv_heads), tiles_(tiles), channels_(channels) {}

    /// Stores a key and a value, rows of `channels` floats, as number `i` of a tile.
    template <class Arch>
    void write(std::int64_t kv_head, std::int64_t tile, std::int64_t i, const float* key, const float* value) {
        Codec::template write<Arch>(at(kv_head, tile), channels_, i, key, value);
    }
    /// A tile's keys and values; its place in the sequence is the caller's to say.
    typename Codec::tile tile(std::int64_t kv_head, std::int64_t tile, std::int64_t first, std::int64_t count) const {
        return Codec::view(at(kv_head, tile), channels_, first, count);
    }
    /// A tile becomes as another is.
    void copy(std::int64_t kv_head, std::int64_t from, std::int64_t to) { std::copy_n(at(kv_head, from), Codec::tile_bytes(channels_), at(kv_head, to)); }
    /// The key and value that are number j of a tile become those that are number i of another.
    void copy_row(std::int64_t kv_head, std::int64_t from, std::int64_t i, std::int64_t to, std::int64_t j) {
        Codec::copy(at(kv_head, from), i, at(kv_head, to), j, channels_);
    }
    /// Zeros in place of number `from` of a tile and those behind it, for every head.
    void clear(std::int64_t tile, std::int64_t from) {
        for (std::int64_t h = 0; h < kv_heads_; ++h) Codec::clear(at(h, tile), channels_, from);
    }
    /// f(bytes) for the memory of `count` tiles from `first` on, in an order that the number of tiles behind them does not change: bytes(kv_heads, count,
    /// channels) in all.
    template <class F>
    void for_each_piece(std::int64_t first, std::int64_t count, F&& f) {
        if (count == 0) return;
        for (std::int64_t h = 0; h < kv_heads_; ++h) f(std::span(at(h, first), static_cast<std::size_t>(count * Codec::tile_bytes(channels_))));
    }

  private:
    std::byte* at(std::int64_t kv_head, std::int64_t tile) const { return memory_ + (kv_head * tiles_ + tile) * Codec::tile_bytes(channels_); }

    std::byte* memory_;
    std::int64_t kv_heads_, tiles_, channels_;
};

}  // namespace qwen3vl::kv_cache
