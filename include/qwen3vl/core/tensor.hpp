#pragma once
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/half.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Element types a checkpoint's tensor may have.
enum class DType : std::uint8_t { f32, f16, bf16, f64, i64, i32, i16, i8, u8, boolean, f8_e4m3, f8_e5m2, u16, u32, u64 };

constexpr std::size_t dtype_bytes(DType d) {
    switch (d) {
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

/// The name safetensors files use: "F32", "BF16", …
constexpr std::string_view dtype_name(DType d) {
    constexpr std::string_view names[] = {"F32", "F16", "BF16", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "U16", "U32", "U64"};
    return names[static_cast<std::size_t>(d)];
}

/// "[3, 4]"
inline std::string shape_text(const std::vector<std::int64_t>& shape) {
    std::string s = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) s += (i ? ", " : "") + std::to_string(shape[i]);
    return s + "]";
}

/// A tensor of a checkpoint, still in its file: row-major, contiguous, not owned, and not necessarily aligned to its element.
/// `data` holds elements() * dtype_bytes(dtype) readable bytes; whoever gives out the view keeps the mapping alive.
struct TensorView {
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;
    const std::byte* data = nullptr;
    std::string_view file;  ///< the file it came from, for messages

    std::int64_t elements() const {
        std::int64_t n = 1;
        for (auto d : shape) n *= d;
        return n;
    }
    std::size_t bytes() const { return static_cast<std::size_t>(elements()) * dtype_bytes(dtype); }
};

/// Row-major float rows, not owned: row r starts at data + r * stride.
struct ConstMatrix {
    const float* data = nullptr;
    std::int64_t rows = 0, cols = 0, stride = 0;
    const float* row(std::int64_t r) const { return data + r * stride; }
};

/// Row-major float rows, not owned, writable.
struct Matrix {
    float* data = nullptr;
    std::int64_t rows = 0, cols = 0, stride = 0;
    Matrix() = default;
    Matrix(float* d, std::int64_t r, std::int64_t c) : data(d), rows(r), cols(c), stride(c) {}
    Matrix(float* d, std::int64_t r, std::int64_t c, std::int64_t s) : data(d), rows(r), cols(c), stride(s) {}
    float* row(std::int64_t r) const { return data + r * stride; }
    Matrix first(std::int64_t n) const { return {data, n, cols, stride}; }
    operator ConstMatrix() const { return {data, rows, cols, stride}; }
};

}  // namespace qwen3vl
