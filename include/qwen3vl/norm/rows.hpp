#pragma once
#include <algorithm>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/row_blocks.hpp>
#include <qwen3vl/core/tensor.hpp>

#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::norm {

/// take(r, Norm(x)[r]) for every row, on all threads of the team, while the row is in the cache of the thread that made
/// it. Each group of `width` columns is normed apart (0: all are one group); `epsilon` is the config's. `scratch` holds
/// x.cols floats for each thread, `stride` apart.
template <class Arch, class Norm, class Team, class Take>
void normalise(Team& team, ConstMatrix x, const NormParameters<std::vector<float>>& w, double epsilon,
               std::int64_t width, float* scratch, std::int64_t stride, Take&& take) {
    if (width == 0) width = x.cols;
    execution::for_row_blocks(team, x.rows, 8, [&](std::int64_t begin, std::int64_t end, int thread) {
        float* row = scratch + thread * stride;
        for (std::int64_t r = begin; r < end; ++r) {
            for (std::int64_t c = 0; c < x.cols; c += width)
                Norm::template row<Arch>(x.row(r) + c, w.weight.data(), w.bias.data(), static_cast<float>(epsilon),
                                         width, row + c);
            take(r, static_cast<const float*>(row));
        }
    });
}

}  // namespace qwen3vl::norm
