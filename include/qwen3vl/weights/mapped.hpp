#pragma once
#include <algorithm>
#include <qwen3vl/kernels/panel.hpp>
#include <qwen3vl/weights/float_panels.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Weights row by row as in a checkpoint, which is used where it is mapped; activations are plain float32 rows.
template <class Element, DType Stored>
struct MappedRows {
    static constexpr bool row_major = true;
    static constexpr bool is_mapped(DType d) { return d == Stored; }
    /// True if a tensor can be used where it lies.
    static bool fits(const TensorView& view) {
        return view.dtype == Stored && reinterpret_cast<std::uintptr_t>(view.data) % alignof(Element) == 0;
    }
    template <class Arch>
    static constexpr std::int64_t bytes(std::int64_t rows, std::int64_t cols) {
        return rows * cols * static_cast<std::int64_t>(sizeof(Element));
    }
    template <class Arch, class Team>
    static void pack(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team,
                     std::byte* out) {
        team.run(rows, [&](std::int64_t r, int) {
            float values[256];
            for (std::int64_t c = 0; c < cols; c += 256) {
                const std::int64_t count = std::min<std::int64_t>(256, cols - c);
                read_values(view, r * cols + c, count, values);
                for (std::int64_t i = 0; i < count; ++i)
                    reinterpret_cast<Element*>(out)[r * cols + c + i] = checked<Element>(values[i], view, name);
            }
        });
    }
    template <class Arch>
    static void row(const WeightMatrix& w, std::int64_t r, float* out) {
        kernels::for_each_vector<Arch>(w.cols(), [&](std::int64_t i, std::int64_t count) {
            kernels::store<Arch>(kernels::load<Arch>(at(w, r) + i, count), out + i, count);
        });
    }
    template <class Arch>
    static constexpr std::int64_t activation_bytes(std::int64_t rows, std::int64_t cols) {
        return rows * cols * static_cast<std::int64_t>(sizeof(float));
    }
    template <class Arch>
    static void pack_activations(const PackedActivations& x, std::int64_t r, std::int64_t first, std::int64_t count,
                                 const float* values) {
        std::copy_n(values, count, reinterpret_cast<float*>(x.data) + r * x.cols + first);
    }
    /// Multiplies as FloatPanels::gemm_panel() does.
    template <class Arch>
    static void gemm_panel(const WeightMatrix& w, std::int64_t first, std::int64_t count, const PackedActivations& x,
                           std::int64_t begin, std::int64_t rows, float* out, std::int64_t out_stride) {
        kernels::panel<Arch>(reinterpret_cast<const float*>(x.data) + begin * x.cols, x.cols, rows, at(w, first),
                             w.cols(), count, w.cols(), out, out_stride);
    }

  private:
    static const Element* at(const WeightMatrix& w, std::int64_t r) {
        return reinterpret_cast<const Element*>(w.data()) + r * w.cols();
    }
};

}  // namespace qwen3vl::weights
