#pragma once
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/kv_cache/element_codec.hpp>
#include <qwen3vl/kv_cache/int4_codec.hpp>
#include <qwen3vl/kv_cache/int8_codec.hpp>

/// Codecs: how a cache stores keys and values, apart from where it stores them.
namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// float32: exact, 8 bytes a channel for key and value.
///     kv_cache::Contiguous<kv_cache::Float32>
struct Float32 : FloatCodec<Float32, float> {
    static constexpr const char* name = "float32";
};

/// bfloat16, rounded to nearest even: half the bytes, 8 bits of mantissa.
///     kv_cache::Contiguous<kv_cache::Bf16>
struct Bf16 : FloatCodec<Bf16, bf16> {
    static constexpr const char* name = "bf16";
};

/// Every codec: feeds the conformance tests and the bench.
using codecs = list<Float32, Bf16, Int8, Int4>;

/// Rows of a head are padded with zeros to this many channels' multiple, whole vectors on every Arch.
inline constexpr std::int64_t channel_step = 16;
/// Channels of a head as caches store them.
constexpr std::int64_t padded_channels(std::int64_t head_dim) { return round_up(head_dim, channel_step); }

}  // namespace qwen3vl::kv_cache
