#pragma once
#include <qwen3vl/attention/flash.hpp>
#include <qwen3vl/core/layers.hpp>
#include <qwen3vl/mask/by_modality.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Attention within each modality, but for sinks: neither text nor pictures see the other.
using WithinModality = Flash<mask::ByModality<Sees{.language_to_vision = false, .vision_to_language = false, .sinks = 1}>>;

/// A plan by layers: attention within each modality, across both in every fourth layer.
///     TextPolicies<>::with_attention<attention::CrossModal<>>
template <class Within = WithinModality, class Across = Flash<>>
using CrossModal = Layers<Pattern<Within, Within, Within, Across>>;

}  // namespace qwen3vl::attention
