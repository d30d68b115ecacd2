#pragma once
#include <algorithm>
#include <array>
#include <qwen3vl/core/row_blocks.hpp>
#include <qwen3vl/kernels/rows.hpp>
#include <qwen3vl/weights/traits.hpp>

/// Dense layers over any weight format.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Puts the rows of x into `input`, which has as many.
template <class Arch, class Format, class Team>
void pack_rows(Team& team, ConstMatrix x, const PackedActivations& input) {
    execution::for_row_blocks(team, x.rows, 8, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r)
            traits<Format>::template pack_activations<Arch>(input, r, 0, x.cols, x.row(r));
    });
}

/// Tasks over the rows of several matrices: each takes `height` rows of one, less at its end.
template <std::size_t N>
class RowTasks {
  public:
    /// Rows of one of the matrices.
    struct Task {
        std::size_t which;          ///< index of the matrix
        std::int64_t first, count;  ///< rows [first, first + count)
    };
    /// The matrices outlive it.
    RowTasks(const std::array<const WeightMatrix*, N>& matrices, std::int64_t height)
        : matrices_(matrices), height_(height) {
        for (std::size_t i = 0; i < N; ++i) begin_[i + 1] = begin_[i] + ceil_div(matrices[i]->rows(), height);
    }
    /// Tasks of all matrices.
    std::int64_t count() const { return begin_[N]; }
    /// Task of that number, from 0.
    Task operator[](std::int64_t task) const {
        std::size_t which = 0;
        while (task >= begin_[which + 1]) ++which;
        const std::int64_t first = (task - begin_[which]) * height_;
        return {which, first, std::min(height_, matrices_[which]->rows() - first)};
    }

  private:
    std::array<const WeightMatrix*, N> matrices_;
    std::int64_t height_;
    std::array<std::int64_t, N + 1> begin_{};
};

/// Rows of a task where nothing wants more of them together: few where a matrix is soon read, so that threads end at
/// the same time.
template <class Arch>
std::int64_t free_height(std::int64_t x_rows, const WeightMatrix& w) {
    return x_rows == 1 && w.rows() < 64 * task_rows ? panel_rows<Arch> : task_rows;
}

/// `height` or, where every thread gets several tasks all the same, most_task_rows.
template <class Arch>
std::int64_t tall_height(std::int64_t x_rows, std::int64_t w_rows, int threads, std::int64_t height) {
    return x_rows >= whole_pass && w_rows >= 4 * threads * most_task_rows<Arch> ? most_task_rows<Arch> : height;
}

/// Tells the team that a dense layer over these matrices, in tasks of `height` rows, comes next, so that threads which
/// wait ask for their weights.
template <class Arch, class Format, class Team, std::size_t N>
void prefetch(Team& team, const std::array<const WeightMatrix*, N>& matrices, std::int64_t height = task_rows) {
    const RowTasks tasks(matrices, height);
    team.prefetch(tasks.count(), [&](std::int64_t task) {
        const auto t = tasks[task];
        return matrices[t.which]->data() + traits<Format>::template bytes<Arch>(t.first, matrices[t.which]->cols());
    });
}

/// Calls epilogue on x · W^T for each of the matrices, which all have x.cols columns, in tasks over their rows.
/// `epilogue(which, row, first, count, values)` receives `count` outputs of one row of x, from column `first` of matrix
/// `which` on; `first` is a multiple of `height`, the rows of a task. A step with one row is bound by reading W: all
/// matrices are one run of tasks, so that the threads meet once.
template <class Arch, class Format, class Team, std::size_t N, class Epilogue>
void linear(Team& team, const PackedActivations& x, const std::array<const WeightMatrix*, N>& matrices,
            Epilogue&& epilogue, std::int64_t height = task_rows) {
    std::int64_t rows_of_all = 0;
    for (const WeightMatrix* w : matrices) rows_of_all += w->rows();
    const RowTasks tasks(matrices, tall_height<Arch>(x.rows, rows_of_all, team.threads(), height));
    const std::int64_t pass = rows_of_pass<Arch>(x.rows);
    team.run(tasks.count(), [&](std::int64_t task, int) {
        const auto [which, first, count] = tasks[task];
        const WeightMatrix& w = *matrices[which];
        alignas(64) float out[std::size_t{pass_rows<Arch> * task_pitch<Arch>}];
        for (std::int64_t i = 0; i < x.rows; i += pass) {
            const std::int64_t rows = std::min(pass, x.rows - i);
            traits<Format>::template gemm_panel<Arch>(w, first, count, x, i, rows, out, task_pitch<Arch>);
            for (std::int64_t r = 0; r < rows; ++r)
                epilogue(static_cast<int>(which), i + r, first, count,
                         static_cast<const float*>(out + r * task_pitch<Arch>));
        }
    });
}

/// epilogue(row, first, count, x · A^T, x · B^T) for two matrices of one shape: the gate and up projections, joined
/// before they are written.
template <class Arch, class Format, class Team, class Epilogue>
void linear_pair(Team& team, const PackedActivations& x, const WeightMatrix& a, const WeightMatrix& b,
                 Epilogue&& epilogue) {
    const std::int64_t pass = rows_of_pass<Arch>(x.rows);
    team.run(ceil_div(a.rows(), task_rows), [&](std::int64_t task, int) {
        const std::int64_t first = task * task_rows, count = std::min(task_rows, a.rows() - first);
        alignas(64) float left[std::size_t{pass_rows<Arch> * pair_pitch}];
        alignas(64) float right[std::size_t{pass_rows<Arch> * pair_pitch}];
        for (std::int64_t i = 0; i < x.rows; i += pass) {
            const std::int64_t rows = std::min(pass, x.rows - i);
            traits<Format>::template gemm_panel<Arch>(a, first, count, x, i, rows, left, pair_pitch);
            traits<Format>::template gemm_panel<Arch>(b, first, count, x, i, rows, right, pair_pitch);
            for (std::int64_t r = 0; r < rows; ++r)
                epilogue(i + r, first, count, static_cast<const float*>(left + r * pair_pitch),
                         static_cast<const float*>(right + r * pair_pitch));
        }
    });
}

/// y = x · W^T + bias; no bias where the pointer is null.
template <class Arch, class Format, class Team>
void linear_store(Team& team, const PackedActivations& x, const WeightMatrix& w, const float* bias, Matrix y) {
    const auto put = [&](int, std::int64_t row, std::int64_t first, std::int64_t count, const float* values) {
        std::copy_n(values, count, y.row(row) + first);
        if (bias) kernels::add_row<Arch>(bias + first, count, y.row(row) + first);
    };
    linear<Arch, Format>(team, x, std::array{&w}, put, free_height<Arch>(x.rows, w));
}

/// y += x · W^T + bias: a dense layer that ends in a residual connection.
template <class Arch, class Format, class Team>
void linear_add(Team& team, const PackedActivations& x, const WeightMatrix& w, const float* bias, Matrix y) {
    const auto add = [&](int, std::int64_t row, std::int64_t first, std::int64_t count, const float* values) {
        kernels::add_row<Arch>(values, count, y.row(row) + first);
        if (bias) kernels::add_row<Arch>(bias + first, count, y.row(row) + first);
    };
    linear<Arch, Format>(team, x, std::array{&w}, add, free_height<Arch>(x.rows, w));
}

/// Row r of y += factors[r] * (row r of x · W^T).
template <class Arch, class Format, class Team>
void linear_add_scaled(Team& team, const PackedActivations& x, const WeightMatrix& w, const float* factors, Matrix y) {
    const auto add = [&](int, std::int64_t row, std::int64_t first, std::int64_t count, const float* values) {
        kernels::add_scaled_row<Arch>(factors[row], values, count, y.row(row) + first);
    };
    linear<Arch, Format>(team, x, std::array{&w}, add, free_height<Arch>(x.rows, w));
}

}  // namespace qwen3vl::weights
