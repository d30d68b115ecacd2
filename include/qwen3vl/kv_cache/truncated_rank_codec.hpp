#pragma once
#include <algorithm>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/projection.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// The first channels of a tile, zeros in place of the others, which attention adds before use.
template <class Inner>
struct TruncatedTile {
    Inner inner;                                      ///< of the channels that are kept
    std::int64_t channels = 0, first = 0, count = 0;  ///< as Tile's, all channels counted

    float key(std::int64_t i, std::int64_t channel) const {
        return channel < inner.channels ? inner.key(i, channel) : 0.0f;
    }
    float value(std::int64_t i, std::int64_t channel) const {
        return channel < inner.channels ? inner.value(i, channel) : 0.0f;
    }
};

/// The first R.n numbers of a row as `Inner` keeps them, and no others. Under LowRank, whose directions are ordered by
/// weight: so a Hybrid keeps the latest tokens along all directions and older ones along R.n of them.
///     using Older = kv_cache::TruncatedRank<Rank{64}, kv_cache::Int8>;
///     kv_cache::LowRank<Rank{128}, kv_cache::Hybrid<Tokens{128}, kv_cache::Bf16, Older>>
template <Rank R, class Inner = Bf16>
struct TruncatedRank {
    static_assert(R.n > 0 && R.n % channel_step == 0,
                  "qwen3vl: slot kv_cache: TruncatedRank needs a Rank of a multiple of 16");
    static constexpr const char* name = "truncated_rank";
    static constexpr bool needs_directions = true;  ///< the first coordinates have to weigh most
    using tile = TruncatedTile<typename Inner::tile>;

    /// Bytes of a tile; a multiple of 64.
    static constexpr std::int64_t tile_bytes(std::int64_t channels) { return Inner::tile_bytes(kept(channels)); }
    /// Views a tile in memory; the caller gives its place in the sequence.
    static tile view(const std::byte* memory, std::int64_t channels, std::int64_t first, std::int64_t count) {
        return {Inner::view(memory, kept(channels), first, count), channels, first, count};
    }
    /// Stores a key and a value, rows of `channels` floats, as number `i` of a tile.
    template <class Arch>
    static void write(std::byte* memory, std::int64_t channels, std::int64_t i, const float* key, const float* value) {
        Inner::template write<Arch>(memory, kept(channels), i, key, value);
    }
    /// Copies entry i of a tile to entry j of another.
    static void copy(const std::byte* from, std::int64_t i, std::byte* to, std::int64_t j, std::int64_t channels) {
        Inner::copy(from, i, to, j, kept(channels));
    }
    /// Zeroes the entries of a tile from `from` on.
    static void clear(std::byte* memory, std::int64_t channels, std::int64_t from) {
        Inner::clear(memory, kept(channels), from);
    }

  private:
    static constexpr std::int64_t kept(std::int64_t channels) { return std::min(std::int64_t{R.n}, channels); }
};

/// The tile as float32, keys [channels, tile_keys] and values [tile_keys, channels] in `memory`; scales stay beside it.
template <class Arch, class Inner>
Tile<float> widened(const TruncatedTile<Inner>& tile, float* memory) {
    const std::int64_t kept = tile.inner.channels, channels = tile.channels, half = tile_keys * channels;
    const auto few = widened<Arch>(tile.inner, memory);
    float* values = memory + half;
    if (kept < channels) {  // the last value first: it moves the farthest, and never over one that is still to move
        for (std::int64_t i = tile.count; i-- > 0;) {
            std::copy_backward(few.values + i * kept, few.values + (i + 1) * kept, values + i * channels + kept);
            std::fill(values + i * channels + kept, values + (i + 1) * channels, 0.0f);
        }
        std::fill(memory + kept * tile_keys, values, 0.0f);
    }
    return {memory, values, channels, tile.first, tile.count, few.key_scales, few.value_scales};
}

}  // namespace qwen3vl::kv_cache
