#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// bfloat16: the upper half of a float32.
struct bf16 {
    std::uint16_t bits = 0;  ///< sign, 8 bits of exponent, 7 of mantissa
    bf16() = default;
    /// Rounds to nearest, ties to even; a NaN stays a NaN.
    explicit bf16(float value) {
        const auto u = std::bit_cast<std::uint32_t>(value);
        bits = (u & 0x7fffffffu) > 0x7f800000u ? static_cast<std::uint16_t>((u >> 16) | 0x40u)
                                               : static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
    /// The exact value.
    operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

/// IEEE 754 binary16.
struct f16 {
    std::uint16_t bits = 0;  ///< sign, 5 bits of exponent, 10 of mantissa
    f16() = default;
    /// Rounds to nearest, ties to even; beyond 65504 becomes infinite.
    explicit f16(float value) {
        const auto u = std::bit_cast<std::uint32_t>(value);
        const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
        const std::uint32_t magnitude = u & 0x7fffffffu;
        if (magnitude > 0x7f800000u) {
            bits = static_cast<std::uint16_t>(sign | 0x7e00u);
        } else if (magnitude >= 0x47800000u) {  // 65536 and up
            bits = static_cast<std::uint16_t>(sign | 0x7c00u);
        } else if (magnitude < 0x38800000u) {  // below the smallest normal, 2^-14: units of 2^-24, rounded by the FPU
            bits = static_cast<std::uint16_t>(
                sign | static_cast<std::uint16_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 16777216.0f)));
        } else {  // a carry out of the mantissa moves the exponent on, up to infinity, as it should
            const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
            bits = static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
        }
    }
    /// The exact value.
    operator float() const {
        const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
        const std::uint32_t exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
        if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
            const float m = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
            return sign ? -m : m;
        }
        if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
        return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
    }
};

}  // namespace qwen3vl
