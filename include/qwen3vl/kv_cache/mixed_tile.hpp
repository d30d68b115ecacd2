#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/truncated_rank_codec.hpp>
#include <utility>

/// Tiles whose keys and values lie in two stores, each with a codec of its own.
namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Factors of each key and each value of a tile, where it has some.
struct RowScales {
    const bf16* keys = nullptr;    ///< [tile_keys]; null: 1
    const bf16* values = nullptr;  ///< [tile_keys]; null: 1
};
/// Those of a codec's tile.
template <class Element>
RowScales row_scales(const Tile<Element>& t) {
    return {t.key_scales, t.value_scales};
}
/// A tile in 4 bits has factors of groups, and none of rows.
inline RowScales row_scales(const NibbleTile&) { return {}; }
/// Those of the channels that are left.
template <class Inner>
RowScales row_scales(const TruncatedTile<Inner>& t) {
    return row_scales(t.inner);
}

/// Keys and values [from, from + count) of a tile as float32, without row_scales(): a channel of all keys tile_keys
/// floats behind the one before, in `keys`; values `channels` floats apart.
template <class Element>
void widen_run(const Tile<Element>& t, std::int64_t from, std::int64_t count, std::int64_t channels, float* keys,
               float* values) {
    for (std::int64_t c = 0; c < t.channels; ++c)
        for (std::int64_t k = 0; k < count; ++k)
            keys[c * tile_keys + k] = static_cast<float>(t.keys[c * tile_keys + from + k]);
    for (std::int64_t k = 0; k < count; ++k)
        for (std::int64_t c = 0; c < t.channels; ++c)
            values[k * channels + c] = static_cast<float>(t.values[(from + k) * t.channels + c]);
}
/// As the other.
inline void widen_run(const NibbleTile& t, std::int64_t from, std::int64_t count, std::int64_t channels, float* keys,
                      float* values) {
    const std::int64_t groups = NibbleTile::groups(t.channels);
    const auto low = [](std::uint8_t byte) { return static_cast<float>((byte & 15) - 8); };
    const auto high = [](std::uint8_t byte) { return static_cast<float>((byte >> 4) - 8); };
    for (std::int64_t g = 0; g < groups; ++g)
        for (std::int64_t b = 0, c = g * nibble_group; b < 16; ++b, ++c) {
            const std::uint8_t* bytes = t.keys + (g * 16 + b) * tile_keys + from;
            const bf16* scales = t.key_scales + g * tile_keys + from;
            for (std::int64_t k = 0; k < count; ++k)
                keys[c * tile_keys + k] = low(bytes[k]) * static_cast<float>(scales[k]);
            if (c + 16 >= t.channels) continue;
            for (std::int64_t k = 0; k < count; ++k)
                keys[(c + 16) * tile_keys + k] = high(bytes[k]) * static_cast<float>(scales[k]);
        }
    for (std::int64_t k = 0; k < count; ++k)
        for (std::int64_t g = 0; g < groups; ++g) {
            const std::uint8_t* bytes = t.values + ((from + k) * groups + g) * 16;
            const auto scale = static_cast<float>(t.value_scales[(from + k) * groups + g]);
            float* out = values + k * channels + g * nibble_group;
            for (std::int64_t b = 0; b < 16; ++b) out[b] = low(bytes[b]) * scale;
            if (g * nibble_group + 16 < t.channels)
                for (std::int64_t b = 0; b < 16; ++b) out[16 + b] = high(bytes[b]) * scale;
        }
}
/// As the others, with zeros in the channels that are not kept.
template <class Inner>
void widen_run(const TruncatedTile<Inner>& t, std::int64_t from, std::int64_t count, std::int64_t channels, float* keys,
               float* values) {
    widen_run(t.inner, from, count, channels, keys, values);
    for (std::int64_t c = t.inner.channels; c < t.channels; ++c) std::fill_n(keys + c * tile_keys, count, 0.0f);
    for (std::int64_t k = 0; k < count; ++k)
        std::fill(values + k * channels + t.inner.channels, values + k * channels + t.channels, 0.0f);
}

/// Tiles of one head in a store, `stride` bytes apart.
template <class Codec>
struct StoredTiles {
    const std::byte* first = nullptr;  ///< tile 0
    std::int64_t stride = 0;           ///< to the next; may be negative
    std::int64_t channels = 0;         ///< padded head_dim

    /// Tile `index`, of whole length.
    typename Codec::tile operator[](std::int64_t index) const {
        return Codec::view(first + index * stride, channels, 0, tile_keys);
    }
};

/// A tile whose tokens lie, each in the order of the sequence, in store A or, where a bit says so, in store B.
/// Attention brings it together as float32 before use; row scales stay beside it.
template <class A, class B>
class MixedTile {
  public:
    std::int64_t channels = 0;  ///< padded head_dim
    std::int64_t first = 0;     ///< sequence index of key 0
    std::int64_t count = 0;     ///< keys

    /// `in_b`: a bit for each of the `n` keys; `before_a`, `before_b`: tokens of the sequence before the tile in each
    /// store.
    MixedTile(const StoredTiles<A>& a, const StoredTiles<B>& b, std::uint64_t in_b, std::int64_t before_a,
              std::int64_t before_b, std::int64_t index, std::int64_t n)
        : channels(a.channels),
          first(index),
          count(n),
          a_(a),
          b_(b),
          in_b_(in_b),
          before_a_(before_a),
          before_b_(before_b) {
        std::fill_n(key_scales_, tile_keys, bf16(1.0f));
        std::fill_n(value_scales_, tile_keys, bf16(1.0f));
        for_each_run([&](const auto& tile, std::int64_t from, std::int64_t run, std::int64_t at) {
            const RowScales scales = row_scales(tile);
            if (!scales.keys) return;
            scaled_ = true;
            std::copy_n(scales.keys + from, run, key_scales_ + at);
            std::copy_n(scales.values + from, run, value_scales_ + at);
        });
    }

    /// Channel of key, or of value, `i`.
    float key(std::int64_t i, std::int64_t channel) const {
        return at(i, [&](const auto& tile, std::int64_t from) { return tile.key(from, channel); });
    }
    /// As key().
    float value(std::int64_t i, std::int64_t channel) const {
        return at(i, [&](const auto& tile, std::int64_t from) { return tile.value(from, channel); });
    }
    /// Factors of rows that widened() leaves out.
    RowScales scales() const { return scaled_ ? RowScales{key_scales_, value_scales_} : RowScales{}; }

    /// f(tile of a store, its first key, keys, number of the first of them here) for each run of neighbours there.
    template <class F>
    void for_each_run(F&& f) const {
        std::int64_t a = before_a_, b = before_b_;
        for (std::int64_t i = 0, run; i < count; i += run) {
            const bool of_b = in_b_ >> i & 1;
            std::int64_t& rank = of_b ? b : a;
            const std::int64_t most = std::min(count - i, tile_keys - rank % tile_keys);
            run = 1;
            while (run < most && (in_b_ >> (i + run) & 1) == of_b) ++run;
            if (of_b)
                f(b_[rank / tile_keys], rank % tile_keys, run, i);
            else
                f(a_[rank / tile_keys], rank % tile_keys, run, i);
            rank += run;
        }
    }

  private:
    template <class F>
    float at(std::int64_t i, F&& f) const {
        float found = 0;
        for_each_run([&](const auto& tile, std::int64_t from, std::int64_t run, std::int64_t begin) {
            if (i >= begin && i < begin + run) found = f(tile, from + i - begin);
        });
        return found;
    }

    StoredTiles<A> a_;
    StoredTiles<B> b_;
    std::uint64_t in_b_;
    std::int64_t before_a_, before_b_;
    bool scaled_ = false;
    alignas(64) bf16 key_scales_[tile_keys], value_scales_[tile_keys];
};

/// The tile as float32, keys [channels, tile_keys] and values [tile_keys, channels] in `memory`; scales stay beside it,
/// in the tile.
template <class Arch, class A, class B>
Tile<float> widened(const MixedTile<A, B>& mixed, float* memory) {
    float* values = memory + tile_keys * mixed.channels;
    mixed.for_each_run([&](const auto& tile, std::int64_t from, std::int64_t run, std::int64_t at) {
        widen_run(tile, from, run, mixed.channels, memory + at, values + at * mixed.channels);
    });
    const RowScales scales = mixed.scales();
    return {memory, values, mixed.channels, mixed.first, mixed.count, scales.keys, scales.values};
}

}  // namespace qwen3vl::kv_cache
