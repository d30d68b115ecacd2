#pragma once
#include <cmath>
#include <cstring>
#include <qwen3vl/core/half.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/weights/ggml_blocks.hpp>

/// The numbers of a checkpoint's tensor as float32, whatever type it has in its file.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// True if the library computes with tensors of this type: F32, F16, BF16 and the block types.
constexpr bool is_weight_type(DType d) {
    return d == DType::f32 || d == DType::f16 || d == DType::bf16 || is_block_type(d);
}

/// f(Element{}) with the element type of a tensor that holds F32, F16 or BF16.
template <class F>
void with_element(DType d, F&& f) {
    switch (d) {
        case DType::f32: f(0.0f); break;
        case DType::f16: f(f16{}); break;
        default: f(bf16{}); break;
    }
}

/// Elements [begin, begin + count) of a tensor of a weight type, in the order of its file, to `out`. Neither has to be
/// a multiple of a block.
inline void read_values(const TensorView& t, std::int64_t begin, std::int64_t count, float* out) {
    if (is_block_type(t.dtype)) {
        ggml::with_block(t.dtype, [&]<class Block>(Block) { ggml::dequantise<Block>(t.data, begin, count, out); });
        return;
    }
    with_element(t.dtype, [&]<class T>(T v) {
        const std::byte* at = t.data + static_cast<std::size_t>(begin) * sizeof(T);
        for (std::int64_t i = 0; i < count; ++i) {
            std::memcpy(static_cast<void*>(&v), at + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
            out[i] = static_cast<float>(v);
        }
    });
}

}  // namespace qwen3vl::weights
