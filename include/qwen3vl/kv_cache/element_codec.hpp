#pragma once
#include <algorithm>
#include <cstddef>
#include <qwen3vl/core/half.hpp>
#include <qwen3vl/kernels/simd.hpp>
#include <qwen3vl/kv_cache/tile.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// A tile of elements that kernels take as they are: keys, values, and behind both a scale for each key and each value
/// if `Scaled`. Codec says how a row becomes elements: encode<Arch>(row, channels, put) calls put(first channel,
/// elements) for each vector and returns the row's scale.
template <class Codec, class Element, bool Scaled>
struct ElementCodec {
    using tile = Tile<Element>;

    /// Bytes of a tile; a multiple of 64.
    static constexpr std::int64_t tile_bytes(std::int64_t channels) {
        return 2 * tile_keys *
               (channels * static_cast<std::int64_t>(sizeof(Element)) +
                (Scaled ? static_cast<std::int64_t>(sizeof(bf16)) : 0));
    }
    /// Views a tile in memory; the caller gives its place in the sequence.
    static tile view(const std::byte* memory, std::int64_t channels, std::int64_t first, std::int64_t count) {
        const Parts<const std::byte> p(memory, channels);
        return {p.keys, p.values, channels, first, count, p.key_scales, p.value_scales};
    }
    /// Stores a key and a value, rows of `channels` floats, as number `i` of a tile.
    template <class Arch>
    static void write(std::byte* memory, std::int64_t channels, std::int64_t i, const float* key, const float* value) {
        const Parts<std::byte> p(memory, channels);
        [[maybe_unused]] const bf16 key_scale =
            Codec::template encode<Arch>(key, channels, [&](std::int64_t c, const Element* lanes) {
                for (int lane = 0; lane < Arch::floats; ++lane) p.keys[(c + lane) * tile_keys + i] = lanes[lane];
            });
        [[maybe_unused]] const bf16 value_scale =
            Codec::template encode<Arch>(value, channels, [&](std::int64_t c, const Element* lanes) {
                std::copy_n(lanes, Arch::floats, p.values + i * channels + c);
            });
        if constexpr (Scaled) {
            p.key_scales[i] = key_scale;
            p.value_scales[i] = value_scale;
        }
    }
    /// Copies key and value i of tile `from` to place j of tile `to`.
    static void copy(const std::byte* from, std::int64_t i, std::byte* to, std::int64_t j, std::int64_t channels) {
        const Parts<const std::byte> a(from, channels);
        const Parts<std::byte> b(to, channels);
        for (std::int64_t c = 0; c < channels; ++c) b.keys[c * tile_keys + j] = a.keys[c * tile_keys + i];
        std::copy_n(a.values + i * channels, channels, b.values + j * channels);
        if constexpr (Scaled) {
            b.key_scales[j] = a.key_scales[i];
            b.value_scales[j] = a.value_scales[i];
        }
    }
    /// Zeroes the keys and values of a tile from number `from` on.
    static void clear(std::byte* memory, std::int64_t channels, std::int64_t from) {
        const Parts<std::byte> p(memory, channels);
        for (std::int64_t c = 0; c < channels; ++c)
            std::fill(p.keys + c * tile_keys + from, p.keys + (c + 1) * tile_keys, Element{});
        std::fill(p.values + from * channels, p.values + tile_keys * channels, Element{});
        if constexpr (Scaled) {
            std::fill(p.key_scales + from, p.key_scales + tile_keys, bf16{});
            std::fill(p.value_scales + from, p.value_scales + tile_keys, bf16{});
        }
    }

  private:
    template <class Byte>
    struct Parts {
        template <class T>
        using as = std::conditional_t<std::is_const_v<Byte>, const T, T>;
        as<Element>*keys, *values;
        as<bf16>*key_scales = nullptr, *value_scales = nullptr;
        Parts(Byte* memory, std::int64_t channels)
            : keys(reinterpret_cast<as<Element>*>(memory)), values(keys + tile_keys * channels) {
            if constexpr (Scaled) {
                key_scales = reinterpret_cast<as<bf16>*>(values + tile_keys * channels);
                value_scales = key_scales + tile_keys;
            }
        }
    };
};

/// Elements that are floats of fewer bits: each is stored on its own.
template <class Codec, class Element>
struct FloatCodec : ElementCodec<Codec, Element, false> {
    /// Rounds a row, and returns a scale of 1.
    template <class Arch, class Put>
    static bf16 encode(const float* row, std::int64_t channels, Put&& put) {
        alignas(64) Element lanes[Arch::floats];
        for (std::int64_t c = 0; c < channels; c += Arch::floats) {
            kernels::store<Arch>(kernels::load<Arch>(row + c), lanes);
            put(c, lanes);
        }
        return bf16(1.0f);
    }
};

/// The tile as float32, keys [channels, tile_keys] and values [tile_keys, channels] in `memory`; scales stay beside it.
template <class Arch, class Element>
Tile<float> widened(const Tile<Element>& tile, float* memory) {
    const std::int64_t half = tile_keys * tile.channels, used = tile.count * tile.channels;
    for (std::int64_t i = 0; i < half; i += Arch::floats)
        kernels::store<Arch>(kernels::load<Arch>(tile.keys + i), memory + i);
    for (std::int64_t i = 0; i < used; i += Arch::floats)
        kernels::store<Arch>(kernels::load<Arch>(tile.values + i), memory + half + i);
    return {memory, memory + half, tile.channels, tile.first, tile.count, tile.key_scales, tile.value_scales};
}

}  // namespace qwen3vl::kv_cache
