#pragma once
#include <algorithm>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/row_blocks.hpp>
#include <qwen3vl/core/tensor.hpp>

#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::norm {

/// take(r, Norm(x)[r]) for every row, on all threads of the team, while the row is in the cache of the thread that made it; `epsilon` is the config's.
/// `scratch` holds round_up(x.cols, 16) floats for each thread.
template <class Arch, class Norm, class Team, class Take>
void normalise(Team& team, ConstMatrix x, const NormParameters<std::vector<float>>& w, double epsilon, float* scratch, Take&& take) {
    execution::for_row_blocks(team, x.rows, 8, [&](std::int64_t begin, std::int64_t end, int thread) {
        float* row = scratch + thread * round_up(x.cols, 16);
        for (std::int64_t r = begin; r < end; ++r) {
            Norm::template row<Arch>(x.row(r), w.weight.data(), w.bias.data(), static_cast<float>(epsilon), x.cols, row);
            take(r, static_cast<const float*>(row));
        }
    });
}

}  // namespace qwen3vl::norm
