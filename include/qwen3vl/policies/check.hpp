#pragma once
#include <qwen3vl/attention/stages.hpp>
#include <qwen3vl/policies/check_slots.hpp>
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

template <Dims D>
consteval bool check_text_dims() {
    constexpr TextDims t = D::text;
    constexpr bool given = t.layers > 0 && t.heads > 0 && t.kv_heads > 0 && t.head_dim > 0 && t.hidden > 0 &&
                           t.ffn > 0 && t.vocab > 0 && t.max_positions > 0;
    static_assert(given, "qwen3vl: dims: a field of `text` is zero; give every extent");
    if constexpr (given) {
        constexpr bool groups = t.heads % t.kv_heads == 0;
        static_assert(
            groups,
            "qwen3vl: dims: text.heads is no multiple of text.kv_heads; query heads share key/value heads evenly");
        constexpr bool pairs = t.head_dim % 2 == 0;
        static_assert(pairs, "qwen3vl: dims: text.head_dim is odd; rotary positions turn pairs of channels");
        constexpr bool sections =
            !t.multimodal_rope() || t.mrope_section[0] + t.mrope_section[1] + t.mrope_section[2] == t.head_dim / 2;
        static_assert(sections, "qwen3vl: dims: text.mrope_section does not add up to head_dim / 2");
        return groups && pairs && sections;
    }
    return false;
}

template <VisionLanguageDims D>
consteval bool check_vision_dims() {
    constexpr VisionDims v = D::vision;
    constexpr bool heads =
        v.depth > 0 && v.heads > 0 && v.hidden > 0 && v.hidden % (v.heads > 0 ? v.heads * 4 : 1) == 0;
    static_assert(heads,
                  "qwen3vl: dims: vision.hidden / vision.heads must be a multiple of 4; axial positions turn pairs by "
                  "row and by column");
    constexpr bool square = v.positions > 0 && v.side() * v.side() == v.positions;
    static_assert(square, "qwen3vl: dims: vision.positions is no square; the position table is side x side");
    constexpr bool width = v.out == D::text.hidden;
    static_assert(
        width, "qwen3vl: dims: vision.out differs from text.hidden; visual tokens enter the decoder's residual stream");
    constexpr bool levels = v.deepstack_count >= 0 && v.deepstack_count <= static_cast<int>(v.deepstack.size()) &&
                            v.deepstack_count <= D::text.layers;
    static_assert(levels, "qwen3vl: dims: vision.deepstack_count exceeds the levels given or the decoder's layers");
    if constexpr (levels) {
        constexpr bool ascending = [](const VisionDims& d) {
            for (std::size_t i = 0; i < static_cast<std::size_t>(d.deepstack_count); ++i)
                if (d.deepstack[i] < 0 || d.deepstack[i] >= d.depth || (i > 0 && d.deepstack[i] <= d.deepstack[i - 1]))
                    return false;
            return true;
        }(v);
        static_assert(ascending,
                      "qwen3vl: dims: vision.deepstack must name blocks below vision.depth in ascending order");
        return heads && square && width && ascending;
    }
    return false;
}

template <Dims D>
consteval bool check_dims() {
    if constexpr (VisionLanguageDims<D>)
        return check_text_dims<D>() && check_vision_dims<D>();
    else
        return check_text_dims<D>();
}

/// Refuses a slot of a bundle that is hidden by a `using` in the bundle's body.
#define QWEN3VL_CHECK_HIDDEN(Bundle, Member, slot_name)                                        \
    static_assert(std::is_same_v<typename Bundle::Member, typename base_of_t<Bundle>::Member>, \
                  "qwen3vl: slot " slot_name ": hidden by a using in the bundle; choose it by with_" slot_name "<>")

/// True if an algorithm and its mask take keys in segments, as an Offloaded cache brings them, or the cache has all
/// keys in memory.
template <class A, class C>
consteval bool check_stages() {
    if constexpr (kv_cache::Offloads<C>) {
        constexpr bool splits = attention::Splits<A>;
        static_assert(splits,
                      "qwen3vl: slot attention: Offloaded keys come in segments, which this algorithm does not take; "
                      "use Flash or Chunked");
        if constexpr (splits && concepts::StatefulMask<typename A::mask>) {
            constexpr bool fits = A::mask::block <= attention::stage_keys<A>;
            static_assert(fits,
                          "qwen3vl: slot attention: the mask's block is longer than a stage of Offloaded keys, 1024 or "
                          "a segment; use a shorter block");
            return fits;
        }
        return splits;
    }
    return true;
}

template <Dims D, class A, class C>
consteval bool check_layer() {
    if constexpr (!has_attention_members<A>()) {
    } else if constexpr (has_cache_members<C>()) {
        using M = typename A::mask;
        static_assert(
            M::causal,
            "qwen3vl: slot attention: the decoder needs a causal mask; use mask::Causal or mask::SlidingWindow");
        constexpr bool told_apart = VisionLanguageDims<D> || !concepts::ModalityMask<M>;
        static_assert(told_apart,
                      "qwen3vl: slot attention: these Dims have no vision, so that a mask by modality has nothing to "
                      "tell apart; use mask::Causal");
        constexpr bool forgets = C::capacity > 0;
        static_assert(!forgets || M::span > 0,
                      "qwen3vl: slot kv_cache: a ring forgets keys that the mask still shows; use mask::SlidingWindow "
                      "or kv_cache::Contiguous");
        constexpr bool fits = !forgets || M::span == 0 || C::capacity >= M::span + M::sinks;
        static_assert(
            fits, "qwen3vl: slot kv_cache: the ring is shorter than window + sinks; enlarge Tokens or shrink Window");
        constexpr bool paired = [] {
            if constexpr (concepts::Recurrent<A> && concepts::Recurrent<C>)
                return A::features == C::features;
            else
                return !concepts::Recurrent<A> && !concepts::Recurrent<C>;
        }();
        static_assert(
            paired,
            "qwen3vl: slot kv_cache: attention::Linear and kv_cache::Recurrent go together, with the same Features");
        constexpr bool evicts = kv_cache::Evicts<typename C::Layer>,
                       all_seen = !evicts || std::is_same_v<M, mask::Causal>;
        static_assert(all_seen, "qwen3vl: slot kv_cache: Evicting chooses what is seen; use mask::Causal");
        constexpr bool alone = !((evicts || concepts::Recurrent<C>)&&kv_cache::shares_layers<C>);
        static_assert(alone,
                      "qwen3vl: slot kv_cache: CrossLayer is over caches that only writing changes; use Contiguous, "
                      "Ring, Hybrid or Offloaded");
        constexpr bool routed = BringsParameters<M> && kv_cache::Projects<typename C::Layer>;
        static_assert(!routed,
                      "qwen3vl: slot kv_cache: LowRank keeps no rows that a learned router could read; use "
                      "mask::KeyBounds or mask::MeanKey");
        constexpr bool has_rank = !requires { requires C::rank > D::text.head_dim; };
        static_assert(
            has_rank,
            "qwen3vl: slot kv_cache: LowRank keeps more numbers than a row has; use a Rank of at most head_dim");
        constexpr bool projectable = !requires { requires !C::inner_takes_projected; };
        static_assert(projectable,
                      "qwen3vl: slot kv_cache: LowRank is over Contiguous, Ring or Hybrid: Evicting, Offloaded and "
                      "Recurrent take queries as they are");
        constexpr bool directed = !requires { requires C::codec::needs_directions; }
        || kv_cache::Projects<typename C::Layer>;
        static_assert(directed,
                      "qwen3vl: slot kv_cache: TruncatedRank keeps the first numbers of a row alone; put the cache "
                      "under LowRank, which orders them by weight");
        return directed && told_apart && M::causal && (!forgets || M::span > 0) && fits && paired && !routed &&
               has_rank && projectable && all_seen && alone && check_stages<A, C>();
    }
    return false;
}

/// True if a cache is a ring, which holds the latest tokens alone.
template <class C>
consteval bool is_ring() {
    if constexpr (concepts::KvCache<C>)
        return C::capacity > 0;
    else
        return false;
}

/// True if no layers share caches, or those that do agree: one cache policy for all and, over a ring, one attention.
template <class A, class C, std::size_t... I>
consteval bool check_sharing(std::index_sequence<I...>) {
    constexpr bool shares = (kv_cache::shares_layers<policy_at<C, I>> || ...),
                   rings = (is_ring<policy_at<C, I>>() || ...);
    constexpr bool same = !shares || (plan<C>::period == 1 && !(rings && plan<A>::period > 1));
    static_assert(same,
                  "qwen3vl: slot kv_cache: CrossLayer is one policy for all layers, and over a ring needs one "
                  "attention; see LayerGroups::first");
    return same;
}

/// True if all layers' caches lie in pages, or none.
template <class C, std::size_t... I>
consteval bool check_pages(std::index_sequence<I...>) {
    constexpr bool all = (kv_cache::Pages<policy_at<C, I>> && ...), none = !(kv_cache::Pages<policy_at<C, I>> || ...);
    static_assert(all || none,
                  "qwen3vl: slot kv_cache: a page of Paged holds the tokens of all layers; use Paged for every layer "
                  "of the plan, or for none");
    return all || none;
}

template <Dims D, class A, class C, std::size_t... I>
consteval bool check_layers(std::index_sequence<I...>) {
    return (check_layer<D, policy_at<A, I>, policy_at<C, I>>() && ...);
}

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
