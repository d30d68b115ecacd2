#pragma once
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>

/// Policies that leave fewer visual tokens than the tower gives, or change them.
namespace qwen3vl::inline QWEN3VL_ABI::token_reduction {

/// Every visual token reaches the decoder.
struct None {
    static constexpr const char* name = "None";
    /// Leaves the features as they are.
    template <class Weights, class Ops, class Parameters>
    static void reduce(const Ops& /*ops*/, const ModelDims& /*dims*/, const Parameters& /*parameters*/,
                       VisualFeatures& /*features*/) {}
};

}  // namespace qwen3vl::token_reduction
