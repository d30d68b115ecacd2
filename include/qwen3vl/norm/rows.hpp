#pragma once
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/row_blocks.hpp>
#include <qwen3vl/core/tensor.hpp>

#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::norm {

/// out = Norm(x), row by row, on all threads of the team; `epsilon` is the config's. out may be x.
template <class Arch, class Norm, class Team>
void normalise(Team& team, ConstMatrix x, const NormParameters<std::vector<float>>& w, double epsilon, Matrix out) {
    execution::for_row_blocks(team, x.rows, 8, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r)
            Norm::template row<Arch>(x.row(r), w.weight.data(), w.bias.data(), static_cast<float>(epsilon), x.cols, out.row(r));
    });
}

}  // namespace qwen3vl::norm
