#pragma once
#include <qwen3vl/core/config.hpp>

/// Policies that say which decoder layers run, and for which rows.
namespace qwen3vl::inline QWEN3VL_ABI::depth {

/// Every decoder layer runs.
struct AllLayers {
    static constexpr const char* name = "AllLayers";
    static constexpr bool preserves_capacity = true;
    /// True for every layer.
    static constexpr bool runs(int /*layer*/, int /*layers*/) { return true; }
};

}  // namespace qwen3vl::depth
