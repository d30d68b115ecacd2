#pragma once
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A rank, as a template argument: numbers that are kept of a row.
struct Rank {
    int n = 0;  ///< numbers kept
};

}  // namespace qwen3vl
