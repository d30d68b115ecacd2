#pragma once
#include <qwen3vl/fusion/fusion.hpp>
#include <qwen3vl/policies/bundles.hpp>

/// Bundles that differ from float32 in the fusion policy alone, each with trained parameters NAME.safetensors in
/// examples/models/shapes/fusion.
namespace trained {
namespace q = qwen3vl;

/// The layers that train_fusion.py puts its modules before.
inline constexpr q::fusion::CrossLayers odd{.every = 2, .first = 1}, each{.every = 1};
template <class Pictures>
using Crossing = q::fusion::CrossAttention<Pictures, odd, q::attention::Flash<q::mask::Full>, q::kv_cache::Float32>;

struct cross_outside : q::bundles::float32::with_fusion<Crossing<q::fusion::pictures::Outside<>>> {
    static constexpr const char* name = "cross_outside";
};
struct gated_cross : q::bundles::float32::with_fusion<q::fusion::Gated<Crossing<q::fusion::pictures::Inside<>>>> {
    static constexpr const char* name = "gated_cross";
};
struct bilinear : q::bundles::float32::with_fusion<q::fusion::Bilinear<q::Rank{64}, q::fusion::TensorRank::cp, each>> {
    static constexpr const char* name = "bilinear";
};

using fusions = q::list<q::bundles::float32, cross_outside, gated_cross, bilinear>;

}  // namespace trained
