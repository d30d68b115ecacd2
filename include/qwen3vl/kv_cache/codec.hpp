#pragma once
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/kernels/simd.hpp>

/// How a cache stores keys and values, apart from where it stores them.
namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// float32: exact, 8 bytes a channel for key and value.
struct Float32 {
    static constexpr const char* name = "float32";
    using element = float;
};

/// bfloat16, rounded to nearest even: half the bytes, 8 bits of mantissa.
struct Bf16 {
    static constexpr const char* name = "bf16";
    using element = bf16;
};

/// Every codec: feeds the conformance tests and the bench.
using codecs = list<Float32, Bf16>;

/// Rows of a head are padded with zeros to this many channels' multiple, whole vectors on every Arch.
inline constexpr std::int64_t channel_step = 16;
constexpr std::int64_t padded_channels(std::int64_t head_dim) { return round_up(head_dim, channel_step); }

/// Stores one padded row of floats in the codec's element type.
template <class Arch, class Codec>
void store_row(const float* row, std::int64_t channels, typename Codec::element* out) {
    kernels::for_each_vector<Arch>(channels,
                                   [&](std::int64_t i, std::int64_t count) { kernels::store<Arch>(kernels::load<Arch>(row + i, count), out + i, count); });
}

}  // namespace qwen3vl::kv_cache
