#pragma once
#include <algorithm>
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// Keys [begin, end) by sequence index.
struct KeyRange {
    std::int64_t begin = 0, end = 0;  ///< empty where begin >= end
};

/// Calls f with the part of `range` that lies within `within`, if there is one.
template <class F>
void give(KeyRange range, KeyRange within, F&& f) {
    range = {std::max(range.begin, within.begin), std::min(range.end, within.end)};
    if (range.begin < range.end) f(range);
}

}  // namespace qwen3vl::mask
