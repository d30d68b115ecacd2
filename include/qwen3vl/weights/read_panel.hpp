#pragma once
#include <algorithm>
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/kernels/simd.hpp>
#include <qwen3vl/kernels/transpose.hpp>
#include <qwen3vl/weights/values.hpp>
#include <type_traits>
#include <vector>

/// A checkpoint's rows side by side, as the panels of every format want them.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Reads as read_values(t, begin, count, out) does, a vector at a time.
template <class Arch>
void read_values(const TensorView& t, std::int64_t begin, std::int64_t count, float* out) {
    if (is_block_type(t.dtype)) return read_values(t, begin, count, out);
    with_element(t.dtype, [&]<class T>(T) {
        const std::byte* at = t.data + static_cast<std::size_t>(begin) * sizeof(T);
        if constexpr (std::is_same_v<T, float>) {
            std::memcpy(out, at, static_cast<std::size_t>(count) * sizeof(T));
        } else {
            std::int64_t whole = count / Arch::floats * Arch::floats;
            if (std::is_same_v<T, f16> && Arch::floats == 4)
                whole = 0;  // that target widens f16 one by one, which wants them aligned
            for (std::int64_t i = 0; i < whole; i += Arch::floats)
                kernels::store<Arch>(kernels::load<Arch>(reinterpret_cast<const T*>(at) + i), out + i);
            read_values(t, begin + whole, count - whole, out + whole);
        }
    });
}

/// Columns that read_panel takes at a time: the rows' pieces stay in the first-level cache.
inline constexpr std::int64_t read_columns = 128;

/// f(first column, count, values [Arch::floats][read_columns]) for the columns of rows [first, first + Arch::floats) of
/// a tensor [rows, cols], piece by piece; rows beyond the last are zeros.
template <class Arch, class F>
void for_each_piece(const TensorView& view, std::int64_t first, std::int64_t rows, std::int64_t cols, F&& f) {
    constexpr std::int64_t width = Arch::floats;
    alignas(64) float values[std::size_t{width * read_columns}];
    const std::int64_t present = std::clamp<std::int64_t>(rows - first, 0, width);
    std::fill(values + present * read_columns, values + width * read_columns, 0.0f);
    for (std::int64_t c = 0; c < cols; c += read_columns) {
        const std::int64_t count = std::min(read_columns, cols - c);
        for (std::int64_t r = 0; r < present; ++r)
            read_values<Arch>(view, (first + r) * cols + c, count, values + r * read_columns);
        f(c, count, values);
    }
}

/// out [cols][Arch::floats] = rows [first, first + Arch::floats) of a tensor [rows, cols], transposed.
template <class Arch>
void read_panel(const TensorView& view, std::int64_t first, std::int64_t rows, std::int64_t cols, float* out) {
    for_each_piece<Arch>(view, first, rows, cols, [&](std::int64_t c, std::int64_t count, const float* values) {
        kernels::transpose<Arch::floats>(reinterpret_cast<const std::byte*>(values), read_columns, count,
                                         reinterpret_cast<std::byte*>(out + c * Arch::floats));
    });
}

/// Floats for each thread of a team. A piece of work that takes them from the system each time would pay for fresh
/// pages each time.
class ThreadBuffers {
  public:
    /// Takes `floats` floats for each thread. Throws OutOfMemory.
    ThreadBuffers(int threads, std::int64_t floats) {
        for (int i = 0; i < threads; ++i) buffers_.push_back(aligned_floats(static_cast<std::size_t>(floats)));
    }
    /// The floats of a thread, aligned to 64.
    float* of(int thread) { return buffers_[static_cast<std::size_t>(thread)].get(); }

  private:
    std::vector<AlignedFloats> buffers_;
};

}  // namespace qwen3vl::weights
