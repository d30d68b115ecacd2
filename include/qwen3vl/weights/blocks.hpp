#pragma once
#include <algorithm>
#include <qwen3vl/kernels/prefetch.hpp>
#include <qwen3vl/weights/matrix.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// f(p, k, depth, ask) for the blocks of a task's panels: of the panel of rows [p, p + panel_rows), columns [k, k +
/// depth), which lie at `at(p, k)`. All panels meet the same columns of x before the next ones are taken. f calls ask()
/// `calls` times: by then the block that comes next has been asked for.
template <class Arch, class At, class F>
void for_each_block(std::int64_t count, std::int64_t cols, std::int64_t columns, std::int64_t calls, At&& at, F&& f) {
    const std::int64_t bytes = at(0, columns) - at(0, 0);
    for (std::int64_t k = 0; k < cols; k += columns)
        for (std::int64_t p = 0; p < count; p += panel_rows<Arch>) {
            const bool last_panel = p + panel_rows<Arch> >= count, last_columns = k + columns >= cols;
            kernels::GradualAsk ask(!last_panel     ? at(p + panel_rows<Arch>, k)
                                    : !last_columns ? at(0, k + columns)
                                                    : at(count, 0),
                                    bytes, calls);
            f(p, k, std::min(columns, cols - k), ask);
        }
}

}  // namespace qwen3vl::weights
