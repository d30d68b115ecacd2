#pragma once
#include <qwen3vl/core/config.hpp>

#include <cstdint>

/// Splitting rows into tasks for a team of any execution policy.
namespace qwen3vl::inline QWEN3VL_ABI::execution {

/// Rows to a task so that every thread gets several tasks, but none is tiny.
inline std::int64_t rows_per_task(std::int64_t rows, int threads, std::int64_t least) {
    const std::int64_t even = (rows + 4 * threads - 1) / (4 * threads);
    return even < least ? least : even;
}

/// Calls f(begin, end, thread) for parts of [0, rows), which together are all of it, on the team's threads.
template <class Team, class F>
void for_row_blocks(Team& team, std::int64_t rows, std::int64_t least, F&& f) {
    const std::int64_t step = rows_per_task(rows, team.threads(), least);
    team.run((rows + step - 1) / step, [&](std::int64_t task, int thread) {
        f(task * step, task * step + step < rows ? task * step + step : rows, thread);
    });
}

}  // namespace qwen3vl::execution
