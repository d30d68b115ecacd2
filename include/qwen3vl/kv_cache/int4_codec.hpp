#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/half.hpp>
#include <qwen3vl/kernels/simd.hpp>
#include <qwen3vl/kv_cache/tile.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Channels of a row that share a scale in 4 bits.
inline constexpr std::int64_t nibble_group = 32;

/// A tile in 4 bits, which attention widens before use. Byte b of a group holds its channels b (low bits) and b + 16,
/// each + 8.
struct NibbleTile {
    const std::uint8_t* keys = nullptr;               ///< [groups, 16, tile_keys]
    const std::uint8_t* values = nullptr;             ///< [tile_keys, groups, 16]
    std::int64_t channels = 0, first = 0, count = 0;  ///< as Tile's
    const bf16* key_scales = nullptr;                 ///< [groups, tile_keys]
    const bf16* value_scales = nullptr;               ///< [tile_keys, groups]

    /// Groups of a row.
    static constexpr std::int64_t groups(std::int64_t channels) { return ceil_div(channels, nibble_group); }
    float key(std::int64_t i, std::int64_t channel) const {
        const std::int64_t g = channel / nibble_group, c = channel % nibble_group;
        return static_cast<float>(code(keys[(g * 16 + c % 16) * tile_keys + i], c)) *
               static_cast<float>(key_scales[g * tile_keys + i]);
    }
    float value(std::int64_t i, std::int64_t channel) const {
        const std::int64_t g = i * groups(channels) + channel / nibble_group, c = channel % nibble_group;
        return static_cast<float>(code(values[g * 16 + c % 16], c)) * static_cast<float>(value_scales[g]);
    }

  private:
    static int code(std::uint8_t byte, std::int64_t c) { return (c < 16 ? byte & 15 : byte >> 4) - 8; }
};

/// 4-bit integers of [-8, 7] with one bfloat16 scale for each 32 channels of a key or value. The scale is the value of
/// largest magnitude / -8, as in ggml's Q4_0; of two such values the negative one counts. 4.5 bits a channel, 72 %
/// below Bf16 at head_dim 128. A channel errs by half of its group's scale at most, near the opposite end by all of it.
///     kv_cache::Contiguous<kv_cache::Int4>
struct Int4 {
    static constexpr const char* name = "int4";
    using tile = NibbleTile;

    /// Bytes of a tile; a multiple of 64.
    static constexpr std::int64_t tile_bytes(std::int64_t channels) {
        return 2 * tile_keys * NibbleTile::groups(channels) * (16 + static_cast<std::int64_t>(sizeof(bf16)));
    }
    /// Views a tile in memory; the caller gives its place in the sequence.
    static tile view(const std::byte* memory, std::int64_t channels, std::int64_t first, std::int64_t count) {
        const std::int64_t groups = NibbleTile::groups(channels);
        const auto* keys = reinterpret_cast<const std::uint8_t*>(memory);
        const auto* scales = reinterpret_cast<const bf16*>(keys + 2 * tile_keys * groups * 16);
        return {keys, keys + tile_keys * groups * 16, channels, first, count, scales, scales + tile_keys * groups};
    }
    /// Stores a key and a value, rows of `channels` floats, as number `i` of a tile.
    template <class Arch>
    static void write(std::byte* memory, std::int64_t channels, std::int64_t i, const float* key, const float* value) {
        const std::int64_t groups = NibbleTile::groups(channels);
        auto* keys = reinterpret_cast<std::uint8_t*>(memory);
        auto* values = keys + tile_keys * groups * 16;
        auto* scales = reinterpret_cast<bf16*>(values + tile_keys * groups * 16);
        for (std::int64_t g = 0; g < groups; ++g) {
            const std::int64_t c = g * nibble_group, n = std::min(nibble_group, channels - c);
            std::uint8_t bytes[16];
            scales[g * tile_keys + i] = encode<Arch>(key + c, n, bytes);
            for (int b = 0; b < 16; ++b) keys[(g * 16 + b) * tile_keys + i] = bytes[b];
            scales[tile_keys * groups + i * groups + g] = encode<Arch>(value + c, n, values + (i * groups + g) * 16);
        }
    }
    /// Copies key and value i of tile `from` to place j of tile `to`.
    static void copy(const std::byte* from, std::int64_t i, std::byte* to, std::int64_t j, std::int64_t channels) {
        const std::int64_t groups = NibbleTile::groups(channels), bytes = tile_keys * groups * 16;
        const auto *in = reinterpret_cast<const std::uint8_t*>(from), *in_values = in + bytes;
        auto *out = reinterpret_cast<std::uint8_t*>(to), *out_values = out + bytes;
        for (std::int64_t row = 0; row < groups * 16; ++row) out[row * tile_keys + j] = in[row * tile_keys + i];
        std::copy_n(in_values + i * groups * 16, groups * 16, out_values + j * groups * 16);
        const auto* in_scales = reinterpret_cast<const bf16*>(in_values + bytes);
        auto* out_scales = reinterpret_cast<bf16*>(out_values + bytes);
        for (std::int64_t g = 0; g < groups; ++g) out_scales[g * tile_keys + j] = in_scales[g * tile_keys + i];
        std::copy_n(in_scales + (tile_keys + i) * groups, groups, out_scales + (tile_keys + j) * groups);
    }
    /// Zeroes the keys and values of a tile from number `from` on.
    static void clear(std::byte* memory, std::int64_t channels, std::int64_t from) {
        const std::int64_t groups = NibbleTile::groups(channels);
        auto* keys = reinterpret_cast<std::uint8_t*>(memory);
        auto* values = keys + tile_keys * groups * 16;
        auto* scales = reinterpret_cast<bf16*>(values + tile_keys * groups * 16);
        for (std::int64_t row = 0; row < groups * 16; ++row)
            std::fill(keys + row * tile_keys + from, keys + (row + 1) * tile_keys, std::uint8_t{0});
        std::fill(values + from * groups * 16, values + tile_keys * groups * 16, std::uint8_t{0});
        for (std::int64_t g = 0; g < groups; ++g)
            std::fill(scales + g * tile_keys + from, scales + (g + 1) * tile_keys, bf16{});
        std::fill(scales + (tile_keys + from) * groups, scales + 2 * tile_keys * groups, bf16{});
    }

  private:
    /// A group of n channels. One below 2^-100 becomes zeros; what is no number becomes the lowest code.
    template <class Arch>
    static bf16 encode(const float* x, std::int64_t n, std::uint8_t* bytes) {
        using Vec = kernels::vec<Arch>;
        alignas(64) float padded[nibble_group] = {};
        if (n < nibble_group) {
            std::copy_n(x, n, padded);
            x = padded;
        }
        Vec largest(0.0f), smallest(0.0f);
        for (std::int64_t c = 0; c < nibble_group; c += Arch::floats) {
            largest = xsimd::max(kernels::load<Arch>(x + c), largest);
            smallest = xsimd::max(Vec(0.0f) - kernels::load<Arch>(x + c), smallest);
        }
        const float above = kernels::max_lane<Arch>(largest), below = kernels::max_lane<Arch>(smallest);
        const float end = above > below ? above : -below;
        const bf16 scale(std::abs(end) < 0x1p-100f ? 0.0f : end * -0.125f);
        const Vec inverse(scale.bits ? 1.0f / static_cast<float>(scale) : 0.0f);
        alignas(64) std::int32_t codes[nibble_group];
        for (std::int64_t c = 0; c < nibble_group; c += Arch::floats) {
            const auto v = xsimd::min(
                xsimd::max(kernels::fma<Arch>(kernels::load<Arch>(x + c), inverse, Vec(8.0f)), Vec(0.0f)), Vec(15.0f));
            kernels::isa::store_bytes(Arch{}, kernels::isa::float_to_int(Arch{}, v),
                                      reinterpret_cast<std::byte*>(codes + c));
        }
        for (int b = 0; b < 16; ++b) bytes[b] = static_cast<std::uint8_t>(codes[b] | codes[b + 16] << 4);
        return scale;
    }
};

/// The tile as float32, keys [channels, tile_keys] and values [tile_keys, channels] in `memory`.
template <class Arch>
Tile<float> widened(const NibbleTile& tile, float* memory) {
    const std::int64_t half = tile_keys * tile.channels, groups = NibbleTile::groups(tile.channels);
    // [n] bytes into their low and high codes, less 8
    const auto split = [](const std::uint8_t* bytes, std::int64_t n, std::int8_t* low, std::int8_t* high) {
        for (std::int64_t i = 0; i < n; ++i) {
            low[i] = static_cast<std::int8_t>((bytes[i] & 15) - 8);
            high[i] = static_cast<std::int8_t>((bytes[i] >> 4) - 8);
        }
    };
    alignas(64) std::int8_t low[tile_keys], high[tile_keys];
    for (std::int64_t g = 0; g < groups; ++g) {
        const bf16* scales = tile.key_scales + g * tile_keys;
        for (std::int64_t b = 0; b < 16; ++b) {
            split(tile.keys + (g * 16 + b) * tile_keys, tile_keys, low, high);
            const std::int64_t c = g * nibble_group + b;
            for (std::int64_t k = 0; k < tile_keys; k += Arch::floats) {
                const auto s = kernels::load<Arch>(scales + k);
                kernels::store<Arch>(kernels::load<Arch>(low + k) * s, memory + c * tile_keys + k);
                if (c + 16 < tile.channels)
                    kernels::store<Arch>(kernels::load<Arch>(high + k) * s, memory + (c + 16) * tile_keys + k);
            }
        }
    }
    for (std::int64_t i = 0; i < tile.count; ++i)
        for (std::int64_t g = 0; g < groups; ++g) {
            split(tile.values + (i * groups + g) * 16, 16, low, high);
            const kernels::vec<Arch> s(static_cast<float>(tile.value_scales[i * groups + g]));
            const std::int64_t c = g * nibble_group;
            float* out = memory + half + i * tile.channels + c;
            for (std::int64_t k = 0; k < 16; k += Arch::floats) {
                kernels::store<Arch>(kernels::load<Arch>(low + k) * s, out + k);
                if (c + 16 < tile.channels) kernels::store<Arch>(kernels::load<Arch>(high + k) * s, out + 16 + k);
            }
        }
    return {memory, memory + half, tile.channels, tile.first, tile.count};
}

}  // namespace qwen3vl::kv_cache
