#pragma once
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>

/// Policies that change what the tower gives the decoder, once for each picture.
namespace qwen3vl::inline QWEN3VL_ABI::alignment {

/// The mergers' output is the decoder's input as it is.
///     Policies<>::with_alignment<alignment::None>
struct None {
    static constexpr const char* name = "None";
    /// Leaves the features as they are.
    template <class Weights, class Ops, class Parameters>
    static void align(const Ops& /*ops*/, const ModelDims& /*dims*/, const Parameters& /*parameters*/,
                      VisualFeatures& /*features*/) {}
};

}  // namespace qwen3vl::alignment
