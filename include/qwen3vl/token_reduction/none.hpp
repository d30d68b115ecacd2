#pragma once
#include <qwen3vl/core/features.hpp>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI::token_reduction {

/// Every visual token reaches the decoder.
struct None {
    static constexpr const char* name = "None";
    static VisualFeatures reduce(VisualFeatures features) { return features; }
};

}  // namespace qwen3vl::token_reduction
