#pragma once
#include <qwen3vl/policies/check_dims.hpp>
#include <qwen3vl/policies/check_layers.hpp>
#include <type_traits>

/// Every rule that joins Dims and slots, checked once, in words. The first broken one stops the compilation of a model.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

template <class... C>
TextPolicies<C...> base_of(const TextPolicies<C...>*);
template <class... C>
VisionPolicies<C...> base_of(const VisionPolicies<C...>*);
template <class... C>
Policies<C...> base_of(const Policies<C...>*);
template <class P>
using base_of_t = decltype(base_of(static_cast<const P*>(nullptr)));

template <class P>
concept IsTextPolicies = requires(const P* p) {
    requires std::is_same_v<decltype(base_of(p)), base_of_t<P>>;
    typename P::KvCache;
};
template <class P>
concept IsVisionPolicies = requires(const P* p) {
    base_of(p);
    typename P::MergerActivation;
};
template <class P>
concept IsPolicies = requires(const P* p) {
    base_of(p);
    typename P::Execution;
};

/// Refuses a slot of a bundle that is hidden by a `using` in the bundle's body.
#define QWEN3VL_CHECK_HIDDEN(Bundle, Member, slot_name)                                        \
    static_assert(std::is_same_v<typename Bundle::Member, typename base_of_t<Bundle>::Member>, \
                  "qwen3vl: slot " slot_name ": hidden by a using in the bundle; choose it by with_" slot_name "<>")

/// True if a slot's format is not streamed, or is one that can be.
template <class F>
consteval bool check_streaming() {
    using Inner = typename weights::streaming<F>::format;
    if constexpr (weights::is_streamed<F>) {
        constexpr bool packed = [] {
            if constexpr (weights::is_streamed<Inner>)
                return false;
            else
                return !weights::traits<Inner>::row_major;
        }();
        static_assert(packed,
                      "qwen3vl: slot weights: Streamed keeps the packed form of a format, and this one has none; page "
                      "Float32, Bf16, F16, Int8, Int4 or NF4");
        return packed;
    }
    return true;
}
template <class W, std::size_t... I>
consteval bool check_streamed_layers(std::index_sequence<I...>) {
    return (check_streaming<policy_at<W, I>>() && ...);
}

template <Dims D, class P>
consteval bool check_text() {
    QWEN3VL_CHECK_HIDDEN(P, Attention, "attention");
    QWEN3VL_CHECK_HIDDEN(P, KvCache, "kv_cache");
    QWEN3VL_CHECK_HIDDEN(P, Norm, "norm");
    QWEN3VL_CHECK_HIDDEN(P, Activation, "activation");
    QWEN3VL_CHECK_HIDDEN(P, Position, "position");
    QWEN3VL_CHECK_HIDDEN(P, Weights, "weights");
    QWEN3VL_CHECK_HIDDEN(P, EmbeddingWeights, "embedding_weights");
    QWEN3VL_CHECK_HIDDEN(P, Ffn, "ffn");
    QWEN3VL_CHECK_HIDDEN(P, Depth, "depth");
    QWEN3VL_CHECK_HIDDEN(P, TokenReduction, "token_reduction");
    if constexpr (has_text_members<P>()) {
        constexpr bool norm = !(P::Norm::has_bias && D::text.qk_norm);
        static_assert(norm,
                      "qwen3vl: slot norm: the q/k norms of these Dims have no bias; use norm::RMSNorm, or Dims with "
                      "text.qk_norm = false");
        constexpr bool activation = P::Activation::gated;
        static_assert(activation,
                      "qwen3vl: slot activation: the decoder's feed-forward layer is gated; use activation::SwiGLU");
        constexpr bool position = P::Position::multimodal || !D::text.multimodal_rope();
        static_assert(
            position,
            "qwen3vl: slot position: these Dims turn heads by time, row and column; use position::MRopeInterleaved");
        using A = typename P::Attention;
        using C = typename P::KvCache;
        using Period = std::make_index_sequence<joint_period<A, C>>;
        constexpr bool streaming =
            check_streamed_layers<typename P::Weights>(std::make_index_sequence<plan<typename P::Weights>::period>{}) &&
            (std::is_same_v<typename P::EmbeddingWeights, policy_at<typename P::Weights, 0>> ||
             check_streaming<typename P::EmbeddingWeights>());
        return norm && activation && position && streaming && check_layers<D, A, C>(Period{}) &&
               check_sharing<A, C>(Period{}) && check_pages<C>(Period{});
    }
    return false;
}

/// True if the windows of a mask over a grid cut no block of merge x merge patches.
template <Dims D, class M>
consteval bool check_windows() {
    if constexpr (concepts::GridMask<M>) {
        constexpr bool fits = M::rows % D::vision.merge == 0 && M::cols % D::vision.merge == 0;
        static_assert(fits,
                      "qwen3vl: slot attention: a window of GridWindow cuts a block of patches that become one token; "
                      "use multiples of vision.merge");
        return fits;
    }
    return true;
}
template <Dims D, class A>
consteval bool check_block_attention() {
    if constexpr (has_vision_attention_members<A>()) {
        constexpr bool whole = !A::mask::causal;
        static_assert(whole,
                      "qwen3vl: slot attention: patches have no order, so the tower's mask cannot be causal; use "
                      "mask::Full or mask::GridWindow");
        return whole && check_windows<D, typename A::mask>();
    }
    return false;
}
template <Dims D, class A, std::size_t... I>
consteval bool check_blocks(std::index_sequence<I...>) {
    return (check_block_attention<D, policy_at<A, I>>() && ...);
}

template <Dims D, class P>
consteval bool check_vision() {
    QWEN3VL_CHECK_HIDDEN(P, Attention, "attention");
    QWEN3VL_CHECK_HIDDEN(P, Norm, "norm");
    QWEN3VL_CHECK_HIDDEN(P, Activation, "activation");
    QWEN3VL_CHECK_HIDDEN(P, MergerActivation, "merger_activation");
    QWEN3VL_CHECK_HIDDEN(P, Position, "position");
    QWEN3VL_CHECK_HIDDEN(P, Weights, "weights");
    QWEN3VL_CHECK_HIDDEN(P, Resolution, "resolution");
    if constexpr (has_vision_members<P>()) {
        constexpr bool plain = !P::Activation::gated && !P::MergerActivation::gated;
        static_assert(plain,
                      "qwen3vl: slot activation: the tower's feed-forward layers are not gated; use "
                      "activation::GeluTanh or GeluExact");
        using A = typename P::Attention;
        return plain && check_blocks<D, A>(std::make_index_sequence<plan<A>::period>{}) &&
               check_streaming<typename P::Weights>();
    }
    return false;
}

template <class D, class P>
consteval bool check() {
    static_assert(
        Dims<D>,
        "qwen3vl: dims: the type has no `static constexpr TextDims text`; derive from one in models:: or write one");
    static_assert(IsPolicies<P>,
                  "qwen3vl: policies: the model's second argument is no Policies<…>; a text bundle goes in by "
                  "Policies<>::with_text<…>");
    if constexpr (Dims<D> && IsPolicies<P>) {
        QWEN3VL_CHECK_HIDDEN(P, Text, "text");
        QWEN3VL_CHECK_HIDDEN(P, Vision, "vision");
        QWEN3VL_CHECK_HIDDEN(P, Execution, "execution");
        static_assert(IsTextPolicies<typename P::Text>, "qwen3vl: slot text: the policy is no TextPolicies<…>");
        static_assert(IsVisionPolicies<typename P::Vision>, "qwen3vl: slot vision: the policy is no VisionPolicies<…>");
        if constexpr (IsTextPolicies<typename P::Text> && IsVisionPolicies<typename P::Vision>) {
            if constexpr (!has_model_members<P>()) {
                return false;
            } else if constexpr (check_dims<D>() && arch::check_compiled<typename P::Arch>() &&
                                 check_text<D, typename P::Text>()) {
                if constexpr (VisionLanguageDims<D>)
                    return check_vision<D, typename P::Vision>();
                else
                    return true;
            }
        }
    }
    return false;
}

#undef QWEN3VL_CHECK_HIDDEN

}  // namespace qwen3vl::detail
