#pragma once
#include <qwen3vl/attention/flash.hpp>
#include <qwen3vl/core/layers.hpp>
#include <qwen3vl/mask/by_modality.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Pictures see pictures and the first tokens, text sees all.
using VisionWithin = Flash<mask::ByModality<Sees{.vision_to_language = false, .sinks = 4}>>;
/// Neither pictures nor text see the other, but for the first token: for models that were trained so.
using WithinModality =
    Flash<mask::ByModality<Sees{.language_to_vision = false, .vision_to_language = false, .sinks = 1}>>;

/// A plan by layers: the first of every four attends across modalities, the others as `Within`.
///     TextPolicies<>::with_attention<attention::GlobalEvery<>>
template <class Within = VisionWithin, class Across = Flash<>>
using GlobalEvery = Layers<Pattern<Across, Within, Within, Within>>;

}  // namespace qwen3vl::attention
