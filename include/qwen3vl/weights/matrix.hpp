#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/space.hpp>
#include <type_traits>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Goes up when the bytes of any packed format change: packed files of another version are made anew.
inline constexpr int layout_version = 2;

/// A weight matrix of a memory space, in the layout of some format there. The caller owns its memory.
template <class Space>
class BasicWeightMatrix {
  public:
    using pointer = typename Space::template pointer<const std::byte>;  ///< address of bytes in the space
    BasicWeightMatrix() = default;
    /// `data` must outlive the matrix.
    BasicWeightMatrix(pointer data, std::int64_t rows, std::int64_t cols) : data_(data), rows_(rows), cols_(cols) {}

    /// Outputs of the dense layer.
    std::int64_t rows() const { return rows_; }
    /// Inputs of the dense layer.
    std::int64_t cols() const { return cols_; }
    /// First byte of the layout.
    pointer data() const { return data_; }

  private:
    pointer data_{};
    std::int64_t rows_ = 0, cols_ = 0;
};

/// Host matrix in the layout of some format and Arch, which weights::traits of that format reads. It owns its memory,
/// or the caller does.
template <>
class BasicWeightMatrix<HostSpace> {
  public:
    BasicWeightMatrix() = default;
    /// `data` must outlive the matrix.
    BasicWeightMatrix(const std::byte* data, std::int64_t rows, std::int64_t cols)
        : data_(data), rows_(rows), cols_(cols) {}
    /// Takes the memory over.
    BasicWeightMatrix(AlignedBytes memory, std::int64_t rows, std::int64_t cols)
        : memory_(std::move(memory)), data_(memory_.get()), rows_(rows), cols_(cols) {}

    /// Outputs of the dense layer.
    std::int64_t rows() const { return rows_; }
    /// Inputs of the dense layer.
    std::int64_t cols() const { return cols_; }
    /// First byte of the layout.
    const std::byte* data() const { return data_; }

  private:
    AlignedBytes memory_{nullptr, &std::free};
    const std::byte* data_ = nullptr;
    std::int64_t rows_ = 0, cols_ = 0;
};

using WeightMatrix = BasicWeightMatrix<HostSpace>;  ///< A matrix in the host's memory.

/// Vectors of weight rows that lie side by side in a panel, step of columns after step: one or two register tiles'
/// width. Decoding then reads a matrix from end to end, with sums enough to hide an instruction's latency.
template <class Arch>
inline constexpr int panel_vectors = Arch::floats == 16 ? 2 : 4;
template <class Arch>
inline constexpr std::int64_t panel_rows = std::int64_t{panel_vectors<Arch>} * Arch::floats;  ///< Rows of a panel.

/// Rows of activations in the layout that a format's kernels read: activation_bytes(rows, cols) bytes that the caller
/// owns, filled by pack_activations().
template <class Space>
struct BasicPackedActivations {
    typename Space::template pointer<std::byte> data{};  ///< owned by the caller
    std::int64_t rows = 0, cols = 0;                     ///< as they were before packing
    /// The first n rows, which kernels read as if there were no others.
    BasicPackedActivations first(std::int64_t n) const { return {data, n, cols}; }
};
using PackedActivations = BasicPackedActivations<HostSpace>;  ///< Packed activations in the host's memory.

/// A tile of rows of activations.
struct RowTile {
    std::int64_t begin, height;  ///< first row; rows
};

/// Partition of rows of activations into register tiles: as many tiles of `Full` rows as there are, then of `Half`,
/// then single rows. Rows lie tile by tile.
template <int Full, int Half>
struct RowTiles {
    static_assert(Full % Half == 0);
    /// Tile of `row` among `rows` rows.
    static RowTile at(std::int64_t row, std::int64_t rows) {
        const std::int64_t full = rows / Full * Full, half = full + (rows - full) / Half * Half;
        if (row < full) return {row / Full * Full, Full};
        if (row < half) return {full + (row - full) / Half * Half, Half};
        return {row, 1};
    }
    /// f(first row, std::integral_constant<int, height>) for the tiles of rows [begin, end), which are whole ones.
    template <class F>
    static void for_each(std::int64_t begin, std::int64_t end, std::int64_t rows, F&& f) {
        for (std::int64_t r = begin; r < end;) {
            const std::int64_t height = at(r, rows).height;
            if (height == Full)
                f(r, std::integral_constant<int, Full>{});
            else if (height == Half)
                f(r, std::integral_constant<int, Half>{});
            else
                f(r, std::integral_constant<int, 1>{});
            r += height;
        }
    }
};

/// Rows of activations up to which AMX multiplies row by row, in vectors: a tile takes as long for one row as for
/// sixteen.
inline constexpr std::int64_t amx_single_rows = 3;

/// Partition of rows of activations into AMX tiles: sixteen rows to a tile, the remainder in a smaller one; so few rows
/// that vectors are faster lie alone.
struct AmxRowTiles {
    /// Tile of `row` among `rows` rows.
    static RowTile at(std::int64_t row, std::int64_t rows) {
        if (rows <= amx_single_rows) return {row, 1};
        const std::int64_t begin = row / 16 * 16;
        return {begin, std::min<std::int64_t>(16, rows - begin)};
    }
};
/// The same with as many pairs of tiles as there are. The rows of a pair lie side by side, step of columns after step:
/// two streams at a distance of a power of two would meet in the same sets of a cache.
struct AmxRowPairs {
    /// Tile, or pair of tiles, of `row` among `rows` rows.
    static RowTile at(std::int64_t row, std::int64_t rows) {
        const std::int64_t pair = row / 32 * 32;
        return pair + 32 <= rows ? RowTile{pair, 32} : AmxRowTiles::at(row, rows);
    }
    /// f(first row, height) for the tiles of rows [begin, end), which are whole ones.
    template <class F>
    static void for_each(std::int64_t begin, std::int64_t end, std::int64_t rows, F&& f) {
        for (std::int64_t r = begin, height; r < end; r += height) {
            height = at(r, rows).height;
            f(r, height);
        }
    }
};

/// Unit of a task's outputs: whole panels of every Arch, whole groups of activations of every format.
inline constexpr std::int64_t task_rows = 128;
/// Most outputs of a task. AMX multiplies faster than rows of x come from beyond the second-level cache, which each
/// task reads anew.
template <class Arch>
inline constexpr std::int64_t most_task_rows = (Arch::tiles ? 2 : 1) * task_rows;
/// Unit of the rows of x that pass a task's weights at once: whole register tiles of every Arch.
inline constexpr std::int64_t whole_pass = 96;
/// Most rows of such a pass.
template <class Arch>
inline constexpr std::int64_t pass_rows = (Arch::tiles ? 3 : 2) * whole_pass;
/// Pitch of a task's outputs, in floats: no power of two, so that a tile's rows lie in different sets of a cache.
template <class Arch>
inline constexpr std::int64_t task_pitch = most_task_rows<Arch> + 16;
/// The same for a task over two matrices.
inline constexpr std::int64_t pair_pitch = task_rows + 16;

/// Rows of each pass of `rows` rows: passes are as equal as they can be.
template <class Arch>
std::int64_t rows_of_pass(std::int64_t rows) {
    return rows == 0 ? whole_pass : round_up(ceil_div(rows, ceil_div(rows, pass_rows<Arch>)), whole_pass);
}

}  // namespace qwen3vl::weights
