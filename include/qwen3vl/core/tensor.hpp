#pragma once
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/half.hpp>
#include <qwen3vl/core/space.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Element types a checkpoint's tensor may have. From q4_0 on they are GGUF's block types. A row is a sequence of
/// blocks, each of dtype_block(d) numbers in dtype_bytes(d) bytes; weights/ggml_blocks.hpp has the layouts.
enum class DType : std::uint8_t {
    f32,
    f16,
    bf16,
    f64,
    i64,
    i32,
    i16,
    i8,
    u8,
    boolean,
    f8_e4m3,
    f8_e5m2,
    u16,
    u32,
    u64,
    q4_0,
    q4_1,
    q5_0,
    q5_1,
    q8_0,
    q4_k,
    q5_k,
    q6_k
};

/// True for the quantised types of GGUF, whose elements come in blocks.
constexpr bool is_block_type(DType d) { return d >= DType::q4_0; }

/// Numbers to a block; 1 where every number stands for itself.
constexpr std::int64_t dtype_block(DType d) { return d >= DType::q4_k ? 256 : is_block_type(d) ? 32 : 1; }

/// Bytes of a number, or of a block where the type has blocks.
constexpr std::size_t dtype_bytes(DType d) {
    switch (d) {
        case DType::q4_0: return 18;
        case DType::q4_1: return 20;
        case DType::q5_0: return 22;
        case DType::q5_1: return 24;
        case DType::q8_0: return 34;
        case DType::q4_k: return 144;
        case DType::q5_k: return 176;
        case DType::q6_k: return 210;
        case DType::f64:
        case DType::i64:
        case DType::u64: return 8;
        case DType::f32:
        case DType::i32:
        case DType::u32: return 4;
        case DType::f16:
        case DType::bf16:
        case DType::i16:
        case DType::u16: return 2;
        default: return 1;
    }
}

/// The name safetensors files use, for block types GGUF's: "F32", "BF16", "Q4_K", …
constexpr std::string_view dtype_name(DType d) {
    constexpr std::string_view names[] = {"F32",  "F16",  "BF16",    "F64",     "I64",  "I32",  "I16", "I8",
                                          "U8",   "BOOL", "F8_E4M3", "F8_E5M2", "U16",  "U32",  "U64", "Q4_0",
                                          "Q4_1", "Q5_0", "Q5_1",    "Q8_0",    "Q4_K", "Q5_K", "Q6_K"};
    return names[static_cast<std::size_t>(d)];
}

/// "[3, 4]"
inline std::string shape_text(const std::vector<std::int64_t>& shape) {
    std::string s = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) s += (i ? ", " : "") + std::to_string(shape[i]);
    return s + "]";
}

/// A tensor of a checkpoint, as its file holds it: row-major, contiguous, not owned, and not necessarily aligned to its
/// element. `data` holds bytes() readable bytes; the giver of the view keeps the memory alive. A tensor of a block type
/// has rows of whole blocks.
struct TensorView {
    DType dtype = DType::f32;         ///< type of the elements
    std::vector<std::int64_t> shape;  ///< extents, outermost first
    const std::byte* data = nullptr;  ///< first byte
    std::string_view file;            ///< the file it came from, for messages

    /// Product of the extents.
    std::int64_t elements() const {
        std::int64_t n = 1;
        for (auto d : shape) n *= d;
        return n;
    }
    /// Bytes of all elements, or of all blocks.
    std::size_t bytes() const { return static_cast<std::size_t>(elements() / dtype_block(dtype)) * dtype_bytes(dtype); }
};

/// Row-major rows of T in a memory space, not owned: row r starts at data + r * stride.
template <class T, class Space>
struct BasicMatrix {
    using pointer = typename Space::template pointer<T>;  ///< Address of an element in the space.
    pointer data{};                                       ///< first element of row 0
    std::int64_t rows = 0, cols = 0, stride = 0;          ///< stride: elements from one row to the next, at least cols
    BasicMatrix() = default;
    /// Rows without gaps: the stride is the number of columns.
    BasicMatrix(pointer d, std::int64_t r, std::int64_t c) : BasicMatrix(d, r, c, c) {}
    /// Rows whose starts are `s` elements apart.
    BasicMatrix(pointer d, std::int64_t r, std::int64_t c, std::int64_t s) : data(d), rows(r), cols(c), stride(s) {}
    /// First element of a row.
    pointer row(std::int64_t r) const { return data + r * stride; }
    /// The first n rows.
    BasicMatrix first(std::int64_t n) const { return {data, n, cols, stride}; }
    /// Without the first n rows.
    BasicMatrix from(std::int64_t n) const { return {row(n), rows - n, cols, stride}; }
    /// The same rows, read-only.
    operator BasicMatrix<const T, Space>() const requires(!std::is_const_v<T>) { return {data, rows, cols, stride}; }
};
using Matrix = BasicMatrix<float, HostSpace>;             ///< Rows of float32 in the host's memory.
using ConstMatrix = BasicMatrix<const float, HostSpace>;  ///< Rows of float32 in the host's memory, read-only.

}  // namespace qwen3vl
