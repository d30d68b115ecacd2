#pragma once
#include <array>
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// Keys [begin, end) by sequence index.
struct KeyRange {
    std::int64_t begin = 0, end = 0;
};

/// The keys some query of a block may see, in ascending order, without overlap; empty ranges count for nothing.
template <int N>
using KeyRanges = std::array<KeyRange, static_cast<std::size_t>(N)>;

}  // namespace qwen3vl::mask
