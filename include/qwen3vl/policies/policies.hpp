#pragma once
#include <qwen3vl/activation/activation.hpp>
#include <qwen3vl/alignment/none.hpp>
#include <qwen3vl/attention/attention.hpp>
#include <qwen3vl/concepts/slots.hpp>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/layers.hpp>
#include <qwen3vl/depth/all_layers.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/ffn/gated.hpp>
#include <qwen3vl/fusion/deepstack.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/memory/memory.hpp>
#include <qwen3vl/norm/norm.hpp>
#include <qwen3vl/position/position.hpp>
#include <qwen3vl/resolution/native.hpp>
#include <qwen3vl/token_reduction/none.hpp>
#include <qwen3vl/weights/formats.hpp>

/// Bundles: which policy each slot holds. A bundle is a pack of choices, of which the last for a slot wins, over the
/// defaults. Name one by deriving from it, so that diagnostics and benches say the name:
///     struct LongDocs : q::TextPolicies<>::with_attention<…>::with_kv_cache<…> {};
/// `with<slot::attention, P>` says the same as `with_attention<P>`. Policies may still be incomplete here;
/// policies/check.hpp looks at them.
namespace qwen3vl::inline QWEN3VL_ABI {

/// One slot's policy.
template <class Slot, class Policy>
struct Choice {
    using slot = Slot;      ///< tag of the slot
    using policy = Policy;  ///< fills the slot
};

/// The last choice of a slot in a pack, or its default.
template <class Slot, class Default, class... C>
struct pick {
    using type = Default;
};
template <class Slot, class Default, class C, class... R>
struct pick<Slot, Default, C, R...>
    : pick<Slot, std::conditional_t<std::is_same_v<Slot, typename C::slot>, typename C::policy, Default>, R...> {};
template <class Slot, class Default, class... C>
using pick_t = typename pick<Slot, Default, C...>::type;  ///< The last choice of a slot in a pack, or its default.

/// The decoder's slots.
template <class... C>
struct TextPolicies {
    template <class Slot, class P>
    using with = TextPolicies<C..., Choice<Slot, P>>;
    template <class P>
    using with_attention = with<slot::attention, P>;
    template <class P>
    using with_kv_cache = with<slot::kv_cache, P>;
    template <class P>
    using with_norm = with<slot::norm, P>;
    template <class P>
    using with_activation = with<slot::activation, P>;
    template <class P>
    using with_position = with<slot::position, P>;
    template <class P>
    using with_weights = with<slot::weights, P>;
    template <class P>
    using with_embedding_weights = with<slot::embedding_weights, P>;
    template <class P>
    using with_ffn = with<slot::ffn, P>;
    template <class P>
    using with_depth = with<slot::depth, P>;
    template <class P>
    using with_token_reduction = with<slot::token_reduction, P>;

    using Attention = pick_t<slot::attention, attention::Flash<mask::Causal>, C...>;
    using KvCache = pick_t<slot::kv_cache, kv_cache::Contiguous<kv_cache::Bf16>, C...>;
    using Norm = pick_t<slot::norm, norm::RMSNorm, C...>;
    using Activation = pick_t<slot::activation, activation::SwiGLU, C...>;
    using Position = pick_t<slot::position, position::MRopeInterleaved, C...>;
    using Weights = pick_t<slot::weights, weights::Bf16, C...>;
    /// Format of the embedding and the head; by default the first layer's.
    using EmbeddingWeights = pick_t<slot::embedding_weights, policy_at<Weights, 0>, C...>;
    using Ffn = pick_t<slot::ffn, ffn::Gated, C...>;
    using Depth = pick_t<slot::depth, depth::AllLayers, C...>;
    using TokenReduction = pick_t<slot::token_reduction, token_reduction::None, C...>;
};

/// The vision tower's slots.
template <class... C>
struct VisionPolicies {
    template <class Slot, class P>
    using with = VisionPolicies<C..., Choice<Slot, P>>;
    template <class P>
    using with_attention = with<slot::attention, P>;
    template <class P>
    using with_norm = with<slot::norm, P>;
    template <class P>
    using with_activation = with<slot::activation, P>;
    template <class P>
    using with_merger_activation = with<slot::merger_activation, P>;
    template <class P>
    using with_position = with<slot::position, P>;
    template <class P>
    using with_weights = with<slot::weights, P>;
    template <class P>
    using with_resolution = with<slot::resolution, P>;

    using Attention = pick_t<slot::attention, attention::Flash<mask::Full>, C...>;
    using Norm = pick_t<slot::norm, norm::LayerNorm, C...>;
    using Activation = pick_t<slot::activation, activation::GeluTanh, C...>;
    using MergerActivation = pick_t<slot::merger_activation, activation::GeluExact, C...>;
    using Position = pick_t<slot::position, position::Grid2D<>, C...>;
    using Weights = pick_t<slot::weights, weights::Bf16, C...>;
    using Resolution = pick_t<slot::resolution, resolution::Native, C...>;
};

/// All slots of a model.
template <class... C>
struct Policies {
    template <class Slot, class P>
    using with = Policies<C..., Choice<Slot, P>>;
    template <class P>
    using with_text = with<slot::text, P>;
    template <class P>
    using with_vision = with<slot::vision, P>;
    template <class P>
    using with_fusion = with<slot::fusion, P>;
    template <class P>
    using with_alignment = with<slot::alignment, P>;
    template <class P>
    using with_execution = with<slot::execution, P>;
    template <class P>
    using with_memory = with<slot::memory, P>;
    template <class P>
    using with_arch = with<slot::arch, P>;

    using Text = pick_t<slot::text, TextPolicies<>, C...>;
    using Vision = pick_t<slot::vision, VisionPolicies<>, C...>;
    using Fusion = pick_t<slot::fusion, fusion::DeepStack, C...>;
    using Alignment = pick_t<slot::alignment, alignment::None, C...>;
    using Execution = pick_t<slot::execution, execution::Threads<>, C...>;
    using Memory = pick_t<slot::memory, memory::Arena, C...>;
    using Arch = pick_t<slot::arch, arch::native, C...>;
};

namespace detail {
template <class TheAttention, class TheKvCache, class TheNorm, class TheActivation, class ThePosition, class TheWeights,
          class TheEmbeddingWeights, class TheFfn, class TheDepth, class TheTokenReduction>
struct TextSlots {
    using Attention = TheAttention;
    using KvCache = TheKvCache;
    using Norm = TheNorm;
    using Activation = TheActivation;
    using Position = ThePosition;
    using Weights = TheWeights;
    using EmbeddingWeights = TheEmbeddingWeights;
    using Ffn = TheFfn;
    using Depth = TheDepth;
    using TokenReduction = TheTokenReduction;
};
template <class TheAttention, class TheNorm, class TheActivation, class TheMergerActivation, class ThePosition,
          class TheWeights, class TheResolution>
struct VisionSlots {
    using Attention = TheAttention;
    using Norm = TheNorm;
    using Activation = TheActivation;
    using MergerActivation = TheMergerActivation;
    using Position = ThePosition;
    using Weights = TheWeights;
    using Resolution = TheResolution;
};
template <class TheText, class TheVision, class TheFusion, class TheAlignment, class TheExecution, class TheMemory,
          class TheArch>
struct AllSlots {
    using Text = TheText;
    using Vision = TheVision;
    using Fusion = TheFusion;
    using Alignment = TheAlignment;
    using Execution = TheExecution;
    using Memory = TheMemory;
    using Arch = TheArch;
};
template <class P>
using text_slots = TextSlots<typename P::Attention, typename P::KvCache, typename P::Norm, typename P::Activation,
                             typename P::Position, typename P::Weights, typename P::EmbeddingWeights, typename P::Ffn,
                             typename P::Depth, typename P::TokenReduction>;
template <class P>
using vision_slots =
    VisionSlots<typename P::Attention, typename P::Norm, typename P::Activation, typename P::MergerActivation,
                typename P::Position, typename P::Weights, typename P::Resolution>;
template <class P>
using all_slots = AllSlots<text_slots<typename P::Text>, vision_slots<typename P::Vision>, typename P::Fusion,
                           typename P::Alignment, typename P::Execution, typename P::Memory, typename P::Arch>;
}  // namespace detail

/// The slots of a bundle, spelled out: bundles that choose the same policies are one type here, and one model.
template <class P>
using SlotsOf = detail::all_slots<P>;

/// Shortens the common choice: one weight format for decoder and tower.
template <class Format>
using PoliciesWithWeights = Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, Format>>>,
                                     Choice<slot::vision, VisionPolicies<Choice<slot::weights, Format>>>>;

}  // namespace qwen3vl
