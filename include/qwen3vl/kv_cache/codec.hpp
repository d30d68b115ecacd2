#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/kernels/simd.hpp>

/// How a cache stores keys and values, apart from where it stores them.
namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

namespace detail {
/// Elements that are floats of fewer bits: each is stored on its own.
template <class Element>
struct FloatCodec {
    using element = Element;
    static constexpr bool scaled = false;
    /// put(first channel, elements) for each vector of a row of padded channels.
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
}  // namespace detail

/// float32: exact, 8 bytes a channel for key and value.
struct Float32 : detail::FloatCodec<float> {
    static constexpr const char* name = "float32";
};

/// bfloat16, rounded to nearest even: half the bytes, 8 bits of mantissa.
struct Bf16 : detail::FloatCodec<bf16> {
    static constexpr const char* name = "bf16";
};

/// Signed bytes of [-127, 127], rounded to nearest, with a scale for each key and each value of a head and token: its largest magnitude / 127, rounded up to
/// bfloat16. 2 (channels + 2) bytes a head and token, 49 % below Bf16 at head_dim 128. A channel's error is at most half of its row's scale.
struct Int8 {
    static constexpr const char* name = "int8";
    using element = std::int8_t;
    static constexpr bool scaled = true;

    /// put(first channel, elements) for each vector of a row of padded channels; returns the row's scale. A row below 2^-100 becomes zeros.
    template <class Arch, class Put>
    static bf16 encode(const float* row, std::int64_t channels, Put&& put) {
        kernels::vec<Arch> magnitude(0.0f);
        for (std::int64_t c = 0; c < channels; c += Arch::floats) magnitude = xsimd::max(magnitude, xsimd::abs(kernels::load<Arch>(row + c)));
        const float largest = kernels::max_lane<Arch>(magnitude);
        const bf16 scale = rounded_up(largest < 0x1p-100f ? 0.0f : largest / 127.0f);
        const kernels::vec<Arch> inverse(scale.bits ? 1.0f / static_cast<float>(scale) : 0.0f);
        alignas(64) std::int32_t wide[Arch::floats];
        std::int8_t lanes[Arch::floats];
        for (std::int64_t c = 0; c < channels; c += Arch::floats) {
            kernels::isa::store_bytes(Arch{}, kernels::isa::float_to_int(Arch{}, kernels::load<Arch>(row + c) * inverse), reinterpret_cast<std::byte*>(wide));
            for (int i = 0; i < Arch::floats; ++i) lanes[i] = static_cast<std::int8_t>(wide[i]);
            put(c, lanes);
        }
        return scale;
    }

  private:
    static bf16 rounded_up(float value) {
        bf16 up;
        up.bits = static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(value) + 0xffffu) >> 16);
        return up;
    }
};

/// Every codec: feeds the conformance tests and the bench.
using codecs = list<Float32, Bf16, Int8>;

/// Rows of a head are padded with zeros to this many channels' multiple, whole vectors on every Arch.
inline constexpr std::int64_t channel_step = 16;
constexpr std::int64_t padded_channels(std::int64_t head_dim) { return round_up(head_dim, channel_step); }

}  // namespace qwen3vl::kv_cache
