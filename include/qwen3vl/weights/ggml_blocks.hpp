#pragma once
#include <cstring>
#include <qwen3vl/core/half.hpp>
#include <qwen3vl/core/tensor.hpp>

/// The block types of GGUF files (layouts: llama.cpp, ggml/src/ggml-common.h; arithmetic: ggml/src/ggml-quants.c,
/// `dequantize_row_*`). In each, a block is cut into groups of `group` numbers, and a number is scale * code - minimum
/// with the scale and the minimum of its group. The product is exact in float32 in all of them, so that a number is
/// rounded once at most and every implementation agrees to the bit.
///
/// A type offers `elements`, `group`, and unpack(block, codes, scales, minima), which writes a block's `elements` codes
/// and `elements / group` scales and minima. Blocks need no alignment; any bytes are a valid block.
namespace qwen3vl::inline QWEN3VL_ABI::weights::ggml {

inline float read_half(const std::byte* p) {
    f16 h;
    std::memcpy(&h, p, sizeof h);
    return h;
}
inline int byte_at(const std::byte* p, std::int64_t i) { return std::to_integer<int>(p[i]); }

/// 16 bytes whose low nibbles are the first 16 codes of a block, the high ones the other 16. Bits of `high` are the
/// codes' fifth bits.
inline void unpack_nibbles(const std::byte* packed, std::uint32_t high, int zero, std::int8_t* codes) {
    for (int i = 0; i < 16; ++i) {
        const int b = byte_at(packed, i), low_bit = static_cast<int>(high >> i & 1u),
                  high_bit = static_cast<int>(high >> (i + 16) & 1u);
        codes[i] = static_cast<std::int8_t>(((b & 15) | low_bit << 4) - zero);
        codes[i + 16] = static_cast<std::int8_t>((b >> 4 | high_bit << 4) - zero);
    }
}

/// half scale, 16 bytes of nibbles; codes -8 to 7.
struct Q4_0 {
    static constexpr DType dtype = DType::q4_0;
    static constexpr std::int64_t elements = 32, group = 32;
    static void unpack(const std::byte* block, std::int8_t* codes, float* scales, float* minima) {
        scales[0] = read_half(block);
        minima[0] = 0.0f;
        unpack_nibbles(block + 2, 0, 8, codes);
    }
};

/// half scale, half offset (which is added: the minimum is its negative), 16 bytes of nibbles; codes 0 to 15.
struct Q4_1 {
    static constexpr DType dtype = DType::q4_1;
    static constexpr std::int64_t elements = 32, group = 32;
    static void unpack(const std::byte* block, std::int8_t* codes, float* scales, float* minima) {
        scales[0] = read_half(block);
        minima[0] = -read_half(block + 2);
        unpack_nibbles(block + 4, 0, 0, codes);
    }
};

/// half scale, 32 bits of fifth bits, 16 bytes of nibbles; codes -16 to 15.
struct Q5_0 {
    static constexpr DType dtype = DType::q5_0;
    static constexpr std::int64_t elements = 32, group = 32;
    static void unpack(const std::byte* block, std::int8_t* codes, float* scales, float* minima) {
        std::uint32_t high = 0;
        std::memcpy(&high, block + 2, sizeof high);
        scales[0] = read_half(block);
        minima[0] = 0.0f;
        unpack_nibbles(block + 6, high, 16, codes);
    }
};

/// half scale, half offset, 32 bits of fifth bits, 16 bytes of nibbles; codes 0 to 31.
struct Q5_1 {
    static constexpr DType dtype = DType::q5_1;
    static constexpr std::int64_t elements = 32, group = 32;
    static void unpack(const std::byte* block, std::int8_t* codes, float* scales, float* minima) {
        std::uint32_t high = 0;
        std::memcpy(&high, block + 4, sizeof high);
        scales[0] = read_half(block);
        minima[0] = -read_half(block + 2);
        unpack_nibbles(block + 8, high, 0, codes);
    }
};

/// half scale, 32 signed bytes.
struct Q8_0 {
    static constexpr DType dtype = DType::q8_0;
    static constexpr std::int64_t elements = 32, group = 32;
    static void unpack(const std::byte* block, std::int8_t* codes, float* scales, float* minima) {
        scales[0] = read_half(block);
        minima[0] = 0.0f;
        std::memcpy(codes, block + 2, 32);
    }
};

/// The 6-bit scales and minima of the eight groups of Q4_K and Q5_K, in 12 bytes (ggml-quants.c `get_scale_min_k4`),
/// times the block's two halves.
inline void unpack_group_scales(const std::byte* block, float* scales, float* minima) {
    const float scale = read_half(block), minimum = read_half(block + 2);
    const std::byte* packed = block + 4;
    for (int j = 0; j < 8; ++j) {
        const int s =
            j < 4 ? byte_at(packed, j) & 63 : (byte_at(packed, j + 4) & 15) | byte_at(packed, j - 4) >> 6 << 4;
        const int m = j < 4 ? byte_at(packed, j + 4) & 63 : byte_at(packed, j + 4) >> 4 | byte_at(packed, j) >> 6 << 4;
        scales[j] = scale * static_cast<float>(s);
        minima[j] = minimum * static_cast<float>(m);
    }
}

/// Two halves, 12 bytes of group scales, then for each pair of groups 32 bytes: low nibbles the first, high nibbles the
/// second; codes 0 to 15.
struct Q4_K {
    static constexpr DType dtype = DType::q4_k;
    static constexpr std::int64_t elements = 256, group = 32;
    static void unpack(const std::byte* block, std::int8_t* codes, float* scales, float* minima) {
        unpack_group_scales(block, scales, minima);
        for (int pair = 0; pair < 4; ++pair) {
            for (int i = 0; i < 32; ++i) {
                const int b = byte_at(block, 16 + pair * 32 + i);
                codes[pair * 64 + i] = static_cast<std::int8_t>(b & 15);
                codes[pair * 64 + 32 + i] = static_cast<std::int8_t>(b >> 4);
            }
        }
    }
};

/// Q4_K with 32 bytes of fifth bits before the nibbles: bit g of byte i belongs to code i of group g; codes 0 to 31.
struct Q5_K {
    static constexpr DType dtype = DType::q5_k;
    static constexpr std::int64_t elements = 256, group = 32;
    static void unpack(const std::byte* block, std::int8_t* codes, float* scales, float* minima) {
        unpack_group_scales(block, scales, minima);
        for (int pair = 0; pair < 4; ++pair) {
            for (int i = 0; i < 32; ++i) {
                const int b = byte_at(block, 48 + pair * 32 + i), high = byte_at(block, 16 + i) >> (2 * pair);
                codes[pair * 64 + i] = static_cast<std::int8_t>((b & 15) | (high & 1) << 4);
                codes[pair * 64 + 32 + i] = static_cast<std::int8_t>(b >> 4 | (high >> 1 & 1) << 4);
            }
        }
    }
};

/// 128 bytes of low nibbles, 64 of high pairs of bits, 16 signed group scales, a half; codes -32 to 31. In each half of
/// the block, byte i of the low nibbles holds codes i and i + 64. Byte i of the pairs holds codes i, i + 32, i + 64 and
/// i + 96.
struct Q6_K {
    static constexpr DType dtype = DType::q6_k;
    static constexpr std::int64_t elements = 256, group = 16;
    static void unpack(const std::byte* block, std::int8_t* codes, float* scales, float* minima) {
        const float scale = read_half(block + 208);
        for (int j = 0; j < 16; ++j) {
            scales[j] = scale * static_cast<float>(static_cast<std::int8_t>(byte_at(block, 192 + j)));
            minima[j] = 0.0f;
        }
        for (int i = 0; i < 256; ++i) {
            const int half = i / 128, at = i % 128;
            const int low = byte_at(block, half * 64 + at % 64) >> (at / 64 * 4) & 15;
            const int high = byte_at(block, 128 + half * 32 + at % 32) >> (at / 32 * 2) & 3;
            codes[i] = static_cast<std::int8_t>((low | high << 4) - 32);
        }
    }
};

/// f(Block{}) with the layout of a block type.
template <class F>
void with_block(DType d, F&& f) {
    switch (d) {
        case DType::q4_0: f(Q4_0{}); break;
        case DType::q4_1: f(Q4_1{}); break;
        case DType::q5_0: f(Q5_0{}); break;
        case DType::q5_1: f(Q5_1{}); break;
        case DType::q8_0: f(Q8_0{}); break;
        case DType::q4_k: f(Q4_K{}); break;
        case DType::q5_k: f(Q5_K{}); break;
        default: f(Q6_K{}); break;
    }
}

/// The numbers of one block.
template <class Block>
void dequantise_block(const std::byte* block, float* out) {
    static_assert(Block::elements == dtype_block(Block::dtype));
    std::int8_t codes[Block::elements];
    float scales[Block::elements / Block::group], minima[Block::elements / Block::group];
    Block::unpack(block, codes, scales, minima);
    for (std::int64_t g = 0; g < Block::elements / Block::group; ++g)
        for (std::int64_t i = g * Block::group; i < (g + 1) * Block::group; ++i)
            out[i] = scales[g] * static_cast<float>(codes[i]) - minima[g];
}

/// Numbers [begin, begin + count) of a row of blocks, of which `row` is the first byte. Neither has to be a multiple of
/// a block.
template <class Block>
void dequantise(const std::byte* row, std::int64_t begin, std::int64_t count, float* out) {
    const std::int64_t end = begin + count;
    for (std::int64_t at = begin; at < end;) {
        const std::int64_t index = at / Block::elements, first = at % Block::elements;
        const std::int64_t n = end - at < Block::elements - first ? end - at : Block::elements - first;
        const std::byte* block = row + static_cast<std::size_t>(index) * dtype_bytes(Block::dtype);
        if (n == Block::elements) {
            dequantise_block<Block>(block, out);
        } else {
            float whole[Block::elements];
            dequantise_block<Block>(block, whole);
            std::memcpy(out, whole + first, static_cast<std::size_t>(n) * sizeof(float));
        }
        at += n;
        out += n;
    }
}

}  // namespace qwen3vl::weights::ggml
