#pragma once
#include <bit>
#include <qwen3vl/kv_cache/element_codec.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Signed bytes of [-127, 127], rounded to nearest. Each key and each value of a head and token has a scale: its
/// largest magnitude / 127, rounded up to bfloat16. 2 (channels + 2) bytes a head and token, 49 % below Bf16 at
/// head_dim 128. A channel's error is at most half of its row's scale.
///     kv_cache::Contiguous<kv_cache::Int8>
struct Int8 : ElementCodec<Int8, std::int8_t, true> {
    static constexpr const char* name = "int8";

    /// A row below 2^-100 becomes zeros.
    template <class Arch, class Put>
    static bf16 encode(const float* row, std::int64_t channels, Put&& put) {
        kernels::vec<Arch> magnitude(0.0f);
        for (std::int64_t c = 0; c < channels; c += Arch::floats)
            magnitude = xsimd::max(magnitude, xsimd::abs(kernels::load<Arch>(row + c)));
        const float largest = kernels::max_lane<Arch>(magnitude);
        const bf16 scale = rounded_up(largest < 0x1p-100f ? 0.0f : largest / 127.0f);
        const kernels::vec<Arch> inverse(scale.bits ? 1.0f / static_cast<float>(scale) : 0.0f);
        alignas(64) std::int32_t wide[Arch::floats];
        std::int8_t lanes[Arch::floats];
        for (std::int64_t c = 0; c < channels; c += Arch::floats) {
            kernels::isa::store_bytes(Arch{},
                                      kernels::isa::float_to_int(Arch{}, kernels::load<Arch>(row + c) * inverse),
                                      reinterpret_cast<std::byte*>(wide));
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

}  // namespace qwen3vl::kv_cache
