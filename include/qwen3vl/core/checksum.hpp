#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <qwen3vl/core/config.hpp>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A 64-bit checksum that finds damage, at the speed of memory: eight chains of multiplications (the step and the
/// finaliser of MurmurHash, Appleby). It does not resist somebody who wants two files to agree.
inline std::uint64_t checksum(const std::byte* data, std::size_t bytes, std::uint64_t seed = 0) {
    constexpr std::uint64_t prime = 0xc6a4a7935bd1e995u;
    constexpr std::size_t lanes = 8;
    std::uint64_t h[lanes];
    for (std::size_t i = 0; i < lanes; ++i) h[i] = seed + (i + 1) * 0x9e3779b97f4a7c15u;
    const auto step = [&](const std::byte* at) {
        QWEN3VL_UNROLL
        for (std::size_t i = 0; i < lanes; ++i) {
            std::uint64_t word;
            std::memcpy(&word, at + 8 * i, sizeof word);
            h[i] = (h[i] ^ word) * prime;
            h[i] ^= h[i] >> 32;
        }
    };
    std::size_t i = 0;
    for (; i + 8 * lanes <= bytes; i += 8 * lanes) step(data + i);
    std::byte rest[8 * lanes] = {};
    if (bytes > i) std::memcpy(rest, data + i, bytes - i);
    step(rest);
    std::uint64_t all = static_cast<std::uint64_t>(bytes) * prime;
    for (const std::uint64_t lane : h) {
        all = (all ^ lane) * prime;
        all ^= all >> 29;
    }
    return all;
}
/// Checksum of a text's bytes.
inline std::uint64_t checksum(std::string_view text, std::uint64_t seed = 0) {
    return checksum(reinterpret_cast<const std::byte*>(text.data()), text.size(), seed);
}

}  // namespace qwen3vl
