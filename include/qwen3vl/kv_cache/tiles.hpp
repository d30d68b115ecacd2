#pragma once
#include <algorithm>
#include <cstddef>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/tile.hpp>
#include <span>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// The storage of one layer under every cache that keeps whole tiles: [kv_heads, tiles, tile], keys and values apart, then the scales of both. The memory
/// belongs to somebody else: bytes(kv_heads, tiles, channels), zeroed, aligned to 64.
template <class Codec>
class Tiles {
  public:
    using element = typename Codec::element;

    static std::int64_t bytes(std::int64_t kv_heads, std::int64_t tiles, std::int64_t channels) {
        const auto row = channels * static_cast<std::int64_t>(sizeof(element)) + (Codec::scaled ? static_cast<std::int64_t>(sizeof(bf16)) : 0);
        return 2 * kv_heads * tiles * tile_keys * row;
    }

    Tiles(std::byte* memory, std::int64_t kv_heads, std::int64_t tiles, std::int64_t channels)
        : keys_(reinterpret_cast<element*>(memory)), kv_heads_(kv_heads), tiles_(tiles), channels_(channels) {
        const std::int64_t rows = kv_heads * tiles * tile_keys;
        values_ = keys_ + rows * channels;
        if constexpr (Codec::scaled) {
            key_scales_ = reinterpret_cast<bf16*>(values_ + rows * channels);
            value_scales_ = key_scales_ + rows;
        }
    }

    /// Stores a key and a value, rows of `channels` floats, as number `i` of a tile.
    template <class Arch>
    void write(std::int64_t kv_head, std::int64_t tile, std::int64_t i, const float* key, const float* value) {
        const std::int64_t row = (kv_head * tiles_ + tile) * tile_keys;
        element* k = keys_ + row * channels_ + i;
        element* v = values_ + (row + i) * channels_;
        [[maybe_unused]] const bf16 key_scale = Codec::template encode<Arch>(key, channels_, [&](std::int64_t c, const element* lanes) {
            for (int lane = 0; lane < Arch::floats; ++lane) k[(c + lane) * tile_keys] = lanes[lane];
        });
        [[maybe_unused]] const bf16 value_scale =
            Codec::template encode<Arch>(value, channels_, [&](std::int64_t c, const element* lanes) { std::copy_n(lanes, Arch::floats, v + c); });
        if constexpr (Codec::scaled) {
            key_scales_[row + i] = key_scale;
            value_scales_[row + i] = value_scale;
        }
    }

    /// A tile's keys and values; its place in the sequence is the caller's to say.
    Tile<element> tile(std::int64_t kv_head, std::int64_t tile, std::int64_t first, std::int64_t count) const {
        const std::int64_t row = (kv_head * tiles_ + tile) * tile_keys;
        Tile<element> t{keys_ + row * channels_, values_ + row * channels_, channels_, first, count};
        if constexpr (Codec::scaled) {
            t.key_scales = key_scales_ + row;
            t.value_scales = value_scales_ + row;
        }
        return t;
    }

    /// Zeros in place of number `from` of a tile and those behind it, for every head.
    void clear(std::int64_t tile, std::int64_t from) {
        for_each_head(tile, 1, [&](element* keys, element* values, [[maybe_unused]] bf16* key_scales, [[maybe_unused]] bf16* value_scales) {
            for (std::int64_t c = 0; c < channels_; ++c) std::fill(keys + c * tile_keys + from, keys + (c + 1) * tile_keys, element{});
            std::fill(values + from * channels_, values + tile_keys * channels_, element{});
            if constexpr (Codec::scaled) {
                std::fill(key_scales + from, key_scales + tile_keys, bf16{});
                std::fill(value_scales + from, value_scales + tile_keys, bf16{});
            }
        });
    }

    /// f(bytes) for the memory of `count` tiles from `first` on, in an order that the number of tiles behind them does not change: bytes(kv_heads, count,
    /// channels) in all.
    template <class F>
    void for_each_piece(std::int64_t first, std::int64_t count, F&& f) {
        for_each_head(first, count, [&](element* keys, element* values, [[maybe_unused]] bf16* key_scales, [[maybe_unused]] bf16* value_scales) {
            const auto rows = static_cast<std::size_t>(count * tile_keys), channels = static_cast<std::size_t>(channels_);
            f(std::as_writable_bytes(std::span(keys, rows * channels)));
            f(std::as_writable_bytes(std::span(values, rows * channels)));
            if constexpr (Codec::scaled) {
                f(std::as_writable_bytes(std::span(key_scales, rows)));
                f(std::as_writable_bytes(std::span(value_scales, rows)));
            }
        });
    }

  private:
    /// f(keys, values, their scales) of `count` tiles from `first` on, for every head.
    template <class F>
    void for_each_head(std::int64_t first, std::int64_t count, F&& f) {
        if (count == 0) return;
        for (std::int64_t h = 0; h < kv_heads_; ++h) {
            const std::int64_t row = (h * tiles_ + first) * tile_keys;
            if constexpr (Codec::scaled)
                f(keys_ + row * channels_, values_ + row * channels_, key_scales_ + row, value_scales_ + row);
            else
                f(keys_ + row * channels_, values_ + row * channels_, nullptr, nullptr);
        }
    }

    element *keys_, *values_;
    bf16 *key_scales_ = nullptr, *value_scales_ = nullptr;
    std::int64_t kv_heads_, tiles_, channels_;
};

}  // namespace qwen3vl::kv_cache
