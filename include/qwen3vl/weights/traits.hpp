#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/kernels/panel.hpp>
#include <qwen3vl/weights/formats.hpp>
#include <string>
#include <type_traits>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// What an algorithm may ask of a format. Specialisations provide
///   Matrix                                   a weight matrix [rows, cols] in the format, movable; rows() and cols()
///   Matrix load(view, name, rows, cols, team)   from a checkpoint's tensor: mapped where it is the format's own, converted otherwise
///   bytes(rows, cols), is_mapped(dtype)      for the memory plan
///   panel<Arch>(matrix, first, count, x, x_stride, m, out, out_stride)   out [m, count] = x · rows [first, first + count)^T
///   row<Arch>(matrix, r, out)                one row as float32 (embedding look-up)
template <class Format>
struct traits;

/// f(Element{}) with the element type of a tensor that holds F32, F16 or BF16.
template <class F>
void with_element(DType d, F&& f) {
    switch (d) {
        case DType::f32: f(0.0f); break;
        case DType::f16: f(f16{}); break;
        default: f(bf16{}); break;
    }
}

/// Elements [begin, end) of a tensor of F32, F16 or BF16, wherever they lie: f(index, value as float32).
template <class F>
void for_each_value(const TensorView& t, std::int64_t begin, std::int64_t end, F&& f) {
    with_element(t.dtype, [&]<class T>(T v) {
        for (std::int64_t i = begin; i < end; ++i) {
            std::memcpy(static_cast<void*>(&v), t.data + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
            f(i, static_cast<float>(v));
        }
    });
}

/// The formats that keep every weight as a number of its own, row-major.
template <class Element, DType Stored>
struct plain_traits {
    class Matrix {
      public:
        std::int64_t rows() const { return rows_; }
        std::int64_t cols() const { return cols_; }
        const Element* row(std::int64_t r) const { return data_ + r * cols_; }

      private:
        friend struct plain_traits;
        std::unique_ptr<Element[]> owned_;
        const Element* data_ = nullptr;
        std::int64_t rows_ = 0, cols_ = 0;
    };

    static constexpr bool is_mapped(DType d) { return d == Stored; }
    static constexpr std::int64_t bytes(std::int64_t rows, std::int64_t cols) { return rows * cols * static_cast<std::int64_t>(sizeof(Element)); }

    /// `view` has rows * cols elements of F32, F16 or BF16; where it is mapped, it must outlive the matrix. Throws LoadError where a number
    /// does not fit the format.
    template <class Team>
    static Matrix load(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team) {
        Matrix m;
        m.rows_ = rows;
        m.cols_ = cols;
        if (view.dtype == Stored && reinterpret_cast<std::uintptr_t>(view.data) % alignof(Element) == 0) {
            m.data_ = reinterpret_cast<const Element*>(view.data);
            return m;
        }
        const std::int64_t n = rows * cols, step = std::int64_t{1} << 20;
        m.owned_ = std::make_unique_for_overwrite<Element[]>(static_cast<std::size_t>(n));
        Element* out = m.owned_.get();
        team.run((n + step - 1) / step, [&](std::int64_t task, int) {
            float lost = 0.0f;
            for_each_value(view, task * step, std::min(n, (task + 1) * step), [&](std::int64_t i, float v) {
                out[i] = Element(v);
                if constexpr (std::is_same_v<Element, f16>)
                    if (std::abs(v) >= 65520.0f && std::isfinite(v)) lost = v;  // would round to infinity
            });
            if (lost != 0.0f)
                throw LoadError(std::string(view.file), name, "numbers within 65504 for weights::F16 (weights::Bf16 holds them)", std::to_string(lost));
        });
        m.data_ = out;
        return m;
    }

    template <class Arch>
    static void panel(const Matrix& w, std::int64_t first, std::int64_t count, const float* x, std::int64_t x_stride, std::int64_t m, float* out,
                      std::int64_t out_stride) {
        kernels::panel<Arch>(x, x_stride, m, w.row(first), w.cols(), count, w.cols(), out, out_stride);
    }

    template <class Arch>
    static void row(const Matrix& w, std::int64_t r, float* out) {
        kernels::for_each_vector<Arch>(
            w.cols(), [&](std::int64_t i, std::int64_t count) { kernels::store<Arch>(kernels::load<Arch>(w.row(r) + i, count), out + i, count); });
    }
};

template <>
struct traits<Float32> : plain_traits<float, DType::f32> {};
template <>
struct traits<Bf16> : plain_traits<bf16, DType::bf16> {};
template <>
struct traits<F16> : plain_traits<f16, DType::f16> {};

template <class Format>
using MatrixOf = typename traits<Format>::Matrix;

}  // namespace qwen3vl::weights
