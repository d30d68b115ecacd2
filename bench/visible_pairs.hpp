#pragma once
#include <qwen3vl/mask/ranges.hpp>

namespace bench {

/// Pairs of query and visible key, of queries [first, first + count).
template <class Mask>
double visible_pairs(const Mask& mask, std::int64_t first, std::int64_t count, std::int64_t keys) {
    std::int64_t n = 0;
    for (std::int64_t i = first; i < first + count; ++i)
        mask.for_each_range(i, i, {0, keys}, [&](qwen3vl::mask::KeyRange range) { n += range.end - range.begin; });
    return static_cast<double>(n);
}

}  // namespace bench
