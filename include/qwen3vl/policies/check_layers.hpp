#pragma once
#include <qwen3vl/attention/stages.hpp>
#include <qwen3vl/policies/check_slots.hpp>
#include <type_traits>
#include <utility>

/// Rules about the attention, mask and cache of a decoder layer, and about the caches of all layers together.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

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
        constexpr bool kept_apart = VisionLanguageDims<D> || !kv_cache::ByModalities<C>;
        static_assert(
            kept_apart,
            "qwen3vl: slot kv_cache: these Dims have no vision, so that ByModality has nothing to keep apart; "
            "use kv_cache::Contiguous");
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
        return directed && told_apart && kept_apart && M::causal && (!forgets || M::span > 0) && fits && paired &&
               !routed && has_rank && projectable && all_seen && alone && check_stages<A, C>();
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

}  // namespace qwen3vl::detail
