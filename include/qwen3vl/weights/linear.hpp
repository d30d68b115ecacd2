#pragma once
#include <algorithm>
#include <array>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/kernels/rows.hpp>
#include <qwen3vl/weights/traits.hpp>

/// Dense layers over any weight format.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Rows of a weight matrix to a task, and rows of x that pass a task's weights at once (their outputs stay on the stack, 32 KiB).
inline constexpr std::int64_t task_rows = 64;
inline constexpr std::int64_t pass_rows = 96;

/// epilogue(x · W^T) for x [m, cols] and each of the matrices, which all have `cols` columns, in tasks over their rows.
/// `epilogue(which, row, first, count, values)` receives `count` outputs of one row of x, from column `first` of matrix `which` on.
/// A step with one row is bound by the reading of W: all matrices are one run of tasks, so that the threads meet once.
template <class Arch, class Format, class Team, std::size_t N, class Epilogue>
void linear(Team& team, const float* x, std::int64_t x_stride, std::int64_t m, const std::array<const MatrixOf<Format>*, N>& matrices, Epilogue&& epilogue) {
    std::array<std::int64_t, N + 1> begin{};  // first task of each matrix
    for (std::size_t i = 0; i < N; ++i) begin[i + 1] = begin[i] + ceil_div(matrices[i]->rows(), task_rows);
    team.run(begin[N], [&](std::int64_t task, int) {
        std::size_t which = 0;
        while (task >= begin[which + 1]) ++which;
        const auto& w = *matrices[which];
        const std::int64_t first = (task - begin[which]) * task_rows, count = std::min(task_rows, w.rows() - first);
        alignas(64) float out[pass_rows * task_rows];
        for (std::int64_t i = 0; i < m; i += pass_rows) {
            const std::int64_t rows = std::min(pass_rows, m - i);
            traits<Format>::template panel<Arch>(w, first, count, x + i * x_stride, x_stride, rows, out, task_rows);
            for (std::int64_t r = 0; r < rows; ++r) epilogue(static_cast<int>(which), i + r, first, count, static_cast<const float*>(out + r * task_rows));
        }
    });
}

/// epilogue(x · A^T, x · B^T) for two matrices of one shape: the gate and up projections, joined before they are written.
template <class Arch, class Format, class Team, class Epilogue>
void linear_pair(Team& team, const float* x, std::int64_t x_stride, std::int64_t m, Epilogue&& epilogue, const MatrixOf<Format>& a, const MatrixOf<Format>& b) {
    team.run(ceil_div(a.rows(), task_rows), [&](std::int64_t task, int) {
        const std::int64_t first = task * task_rows, count = std::min(task_rows, a.rows() - first);
        alignas(64) float left[pass_rows * task_rows];
        alignas(64) float right[pass_rows * task_rows];
        for (std::int64_t i = 0; i < m; i += pass_rows) {
            const std::int64_t rows = std::min(pass_rows, m - i);
            traits<Format>::template panel<Arch>(a, first, count, x + i * x_stride, x_stride, rows, left, task_rows);
            traits<Format>::template panel<Arch>(b, first, count, x + i * x_stride, x_stride, rows, right, task_rows);
            for (std::int64_t r = 0; r < rows; ++r)
                epilogue(i + r, first, count, static_cast<const float*>(left + r * task_rows), static_cast<const float*>(right + r * task_rows));
        }
    });
}

/// y = x · W^T + bias; no bias where the pointer is null.
template <class Arch, class Format, class Team>
void linear_store(Team& team, ConstMatrix x, const MatrixOf<Format>& w, const float* bias, Matrix y) {
    linear<Arch, Format>(team, x.data, x.stride, x.rows, std::array{&w},
                         [&](int, std::int64_t row, std::int64_t first, std::int64_t count, const float* values) {
                             std::copy_n(values, count, y.row(row) + first);
                             if (bias) kernels::add_row<Arch>(bias + first, count, y.row(row) + first);
                         });
}

/// y += x · W^T + bias: a dense layer that ends in a residual connection.
template <class Arch, class Format, class Team>
void linear_add(Team& team, ConstMatrix x, const MatrixOf<Format>& w, const float* bias, Matrix y) {
    linear<Arch, Format>(team, x.data, x.stride, x.rows, std::array{&w},
                         [&](int, std::int64_t row, std::int64_t first, std::int64_t count, const float* values) {
                             kernels::add_row<Arch>(values, count, y.row(row) + first);
                             if (bias) kernels::add_row<Arch>(bias + first, count, y.row(row) + first);
                         });
}

}  // namespace qwen3vl::weights
