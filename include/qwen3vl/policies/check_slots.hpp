#pragma once
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/core/layers.hpp>
#include <qwen3vl/policies/policies.hpp>
#include <qwen3vl/weights/traits.hpp>

/// Checks that each slot's policy has the members of its concept. The first that is missing stops the compilation of a
/// model, by slot and name.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

template <class F>
concept HasTraits = requires(std::int64_t n, const weights::WeightMatrix& w, const weights::PackedActivations& x,
                             const float* values, float* out) {
    { weights::traits<F>::template bytes<arch::native>(n, n) } -> std::convertible_to<std::int64_t>;
    { weights::traits<F>::template activation_bytes<arch::native>(n, n) } -> std::convertible_to<std::int64_t>;
    weights::traits<F>::template row<arch::native>(w, n, out);
    weights::traits<F>::template pack_activations<arch::native>(x, n, n, n, values);
    weights::traits<F>::template gemm_panel<arch::native>(w, n, n, x, n, n, out, n);
};

/// One rule: the message is the only error where the condition fails; what follows is looked at where it holds.
#define QWEN3VL_RULE(message, ...)           \
    if constexpr (!(__VA_ARGS__)) {          \
        static_assert(__VA_ARGS__, message); \
        return false;                        \
    } else
#define QWEN3VL_MEMBER(slot, member, concept, ...) \
    QWEN3VL_RULE("qwen3vl: slot " slot ": the policy lacks " member "; see concepts::" concept, __VA_ARGS__)

#define QWEN3VL_ATTENTION_MEMBERS(slot, A)                                                             \
    QWEN3VL_MEMBER(slot, "its name", "Attention", concepts::Named<A>)                                  \
    QWEN3VL_MEMBER(slot, "a mask, which models concepts::Mask", "Attention", concepts::HasMask<A>)     \
    QWEN3VL_MEMBER(slot, "scratch_floats(rows, channels, keys)", "Attention", concepts::HasScratch<A>) \
    QWEN3VL_MEMBER(slot, "attend<Arch>(queries, visible, tiles, out, scratch)", "Attention", concepts::Attends<A>)
#define QWEN3VL_NORM_MEMBERS(slot, N)                                 \
    QWEN3VL_MEMBER(slot, "its name", "Norm", concepts::Named<N>)      \
    QWEN3VL_MEMBER(slot, "has_bias", "Norm", concepts::StatesBias<N>) \
    QWEN3VL_MEMBER(slot, "row<Arch>(x, weight, bias, epsilon, n, out)", "Norm", concepts::NormalisesRows<N>)
#define QWEN3VL_ACTIVATION_MEMBERS(slot, A)                                                                \
    QWEN3VL_MEMBER(slot, "its name", "Activation", concepts::Named<A>)                                     \
    QWEN3VL_MEMBER(slot, "gated", "Activation", concepts::StatesGate<A>)                                   \
    QWEN3VL_MEMBER(slot, "row<Arch>(x, n, out), or row<Arch>(gate, up, n, out) where gated", "Activation", \
                   concepts::ActivatesRows<A>)
#define QWEN3VL_WEIGHTS_MEMBERS(slot, F)                                                                             \
    QWEN3VL_MEMBER(slot, "its name", "WeightFormat", concepts::Named<F>)                                             \
    QWEN3VL_MEMBER(slot, "its operations, a specialisation of weights::traits, where weights/traits.hpp lists them", \
                   "WeightFormat", HasTraits<F>)

template <class A>
consteval bool has_attention_members() {
    QWEN3VL_ATTENTION_MEMBERS("attention", A)
    return true;
}
template <class A>
consteval bool has_vision_attention_members() {
    QWEN3VL_ATTENTION_MEMBERS("attention of vision", A)
    return true;
}
template <class C>
consteval bool has_cache_members() {
    QWEN3VL_MEMBER("kv_cache", "its name", "KvCache", concepts::Named<C>)
    QWEN3VL_MEMBER("kv_cache", "a codec with a name", "KvCache", concepts::HasCodec<C>)
    QWEN3VL_MEMBER("kv_cache", "can_rewind, can_save or capacity", "KvCache", concepts::StatesAbilities<C>)
    QWEN3VL_MEMBER("kv_cache", "bytes(extent)", "KvCache", concepts::StatesBytes<C>)
    QWEN3VL_MEMBER("kv_cache", "largest_chunk(extent)", "KvCache", concepts::StatesChunk<C>)
    QWEN3VL_MEMBER("kv_cache", "Layer::tile(kv_head, index, tokens)", "KvCache", concepts::GivesTiles<C>)
    QWEN3VL_MEMBER("kv_cache", "Layer::write<Arch>(kv_head, token, key, value)", "KvCache", concepts::WritesRows<C>)
    return true;
}
template <class F>
consteval bool has_weights_members() {
    QWEN3VL_WEIGHTS_MEMBERS("weights", F)
    return true;
}
template <class F>
consteval bool has_embedding_weights_members() {
    QWEN3VL_WEIGHTS_MEMBERS("embedding_weights", F)
    return true;
}
template <class F>
consteval bool has_vision_weights_members() {
    QWEN3VL_WEIGHTS_MEMBERS("weights of vision", F)
    return true;
}

/// f<policy>() of every policy of a plan, up to the first that fails.
template <class Plan, class F, std::size_t... I>
consteval bool for_plan(F f, std::index_sequence<I...>) {
    return (f(type_tag<policy_at<Plan, I>>{}) && ...);
}
template <class Plan, class F>
consteval bool for_plan(F f) {
    return for_plan<Plan>(f, std::make_index_sequence<plan<Plan>::period>{});
}

template <class P>
consteval bool has_text_members() {
    using Position = typename P::Position;
    using Ffn = typename P::Ffn;
    using Depth = typename P::Depth;
    using TokenReduction = typename P::TokenReduction;
    QWEN3VL_NORM_MEMBERS("norm", typename P::Norm)
    QWEN3VL_ACTIVATION_MEMBERS("activation", typename P::Activation)
    QWEN3VL_MEMBER("position", "its name", "TextPosition", concepts::Named<Position>)
    QWEN3VL_MEMBER("position", "multimodal", "TextPosition", concepts::StatesMultimodal<Position>)
    QWEN3VL_MEMBER("position", "axis(dims, pair), frequency(dims, pair) or attention_factor()", "TextPosition",
                   concepts::GivesAngles<Position>)
    QWEN3VL_MEMBER("position", "max_positions(dims)", "TextPosition", concepts::LimitsPositions<Position>)
    QWEN3VL_MEMBER("position", "cos_sin<Arch>(n, cosines, sines)", "TextPosition", concepts::TurnsAngles<Position>)
    QWEN3VL_MEMBER("ffn", "its name", "Ffn", concepts::Named<Ffn>)
    QWEN3VL_MEMBER("ffn", "preserves_capacity", "Ffn", concepts::StatesCapacity<Ffn>)
    QWEN3VL_MEMBER("depth", "its name", "Depth", concepts::Named<Depth>)
    QWEN3VL_MEMBER("depth", "preserves_capacity", "Depth", concepts::StatesCapacity<Depth>)
    QWEN3VL_MEMBER("depth", "runs(layer, layers)", "Depth", concepts::ChoosesLayers<Depth>)
    QWEN3VL_MEMBER("depth", "after_layer<Weights>(pass, layer, before), for it compares rows", "Depth",
                   concepts::LeavesRows<Depth>)
    QWEN3VL_MEMBER("token_reduction", "its name", "TokenReduction", concepts::Named<TokenReduction>)
    QWEN3VL_MEMBER("token_reduction", "reduce<Weights>(ops, dims, parameters, features)", "TokenReduction",
                   concepts::ReducesTokens<TokenReduction>)
    if constexpr (!for_plan<typename P::Weights>([]<class F>(F) { return has_weights_members<typename F::type>(); }))
        return false;
    else
        return has_embedding_weights_members<typename P::EmbeddingWeights>();
}

template <class P>
consteval bool has_vision_members() {
    using Position = typename P::Position;
    using Resolution = typename P::Resolution;
    QWEN3VL_NORM_MEMBERS("norm of vision", typename P::Norm)
    QWEN3VL_ACTIVATION_MEMBERS("activation of vision", typename P::Activation)
    QWEN3VL_ACTIVATION_MEMBERS("merger_activation", typename P::MergerActivation)
    QWEN3VL_MEMBER("position of vision", "its name, a rotary or a table, as position::Grid2D has them",
                   "VisionPosition", concepts::VisionPosition<Position>)
    QWEN3VL_MEMBER("resolution", "its name", "Resolution", concepts::Named<Resolution>)
    QWEN3VL_MEMBER("resolution", "budget(configured)", "Resolution", concepts::LimitsPixels<Resolution>)
    return has_vision_weights_members<typename P::Weights>();
}

template <class P>
consteval bool has_model_members() {
    using Fusion = typename P::Fusion;
    using Alignment = typename P::Alignment;
    using Execution = typename P::Execution;
    using Memory = typename P::Memory;
    QWEN3VL_MEMBER("fusion", "its name", "Fusion", concepts::Named<Fusion>)
    QWEN3VL_MEMBER("fusion", "embed<Weights>(pass)", "Fusion", concepts::EmbedsPictures<Fusion>)
    QWEN3VL_MEMBER("alignment", "its name", "Alignment", concepts::Named<Alignment>)
    QWEN3VL_MEMBER("alignment", "align<Weights>(ops, dims, parameters, features)", "Alignment",
                   concepts::AlignsFeatures<Alignment>)
    QWEN3VL_MEMBER("execution", "its name", "Execution", concepts::Named<Execution>)
    QWEN3VL_MEMBER("execution", "a Team, made of a number of threads", "Execution", concepts::HasTeam<Execution>)
    QWEN3VL_MEMBER("execution", "team_size(threads)", "Execution", concepts::StatesTeamSize<Execution>)
    QWEN3VL_MEMBER("execution", "Team::run(count, f(task, thread)) or Team::limit(threads)", "Execution",
                   concepts::RunsTasks<Execution>)
    QWEN3VL_MEMBER("memory", "its name", "Memory", concepts::Named<Memory>)
    QWEN3VL_MEMBER("memory", "footprint(bytes), or is not made of a number of bytes", "Memory",
                   concepts::StatesFootprint<Memory>)
    QWEN3VL_MEMBER("memory", "take(bytes)", "Memory", concepts::GivesBlocks<Memory>)
    QWEN3VL_MEMBER("arch", "its name, floats, compiled or supported()", "Arch", concepts::Arch<typename P::Arch>)
    return true;
}

#undef QWEN3VL_ATTENTION_MEMBERS
#undef QWEN3VL_NORM_MEMBERS
#undef QWEN3VL_ACTIVATION_MEMBERS
#undef QWEN3VL_WEIGHTS_MEMBERS
#undef QWEN3VL_MEMBER

}  // namespace qwen3vl::detail
