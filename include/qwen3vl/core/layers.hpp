#pragma once
#include <cstddef>
#include <qwen3vl/core/list.hpp>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Policies that repeat over the layers: Layers<Pattern<A, A, B>> gives layers 0, 1, 3, 4, … A and 2, 5, … B.
template <class...>
struct Pattern;
template <class>
struct Layers;

/// A slot's policy, or its per-layer plan, as a pattern.
template <class P>
struct plan {
    using types = list<P>;                    ///< the policies of the pattern, in order
    static constexpr std::size_t period = 1;  ///< layers after which the pattern begins anew
};
template <class... P>
struct plan<Layers<Pattern<P...>>> {
    static_assert(sizeof...(P) > 0, "qwen3vl: Layers: the pattern is empty; name at least one policy");
    using types = list<P...>;  ///< the policies of the pattern, in order
    /// Layers after which the pattern begins anew.
    static constexpr std::size_t period = sizeof...(P);
};

template <std::size_t I, class L>
struct list_at;
template <std::size_t I, class T, class... R>
struct list_at<I, list<T, R...>> : list_at<I - 1, list<R...>> {};
template <class T, class... R>
struct list_at<0, list<T, R...>> {
    using type = T;
};

/// The policy that a slot gives to layer I.
template <class P, std::size_t I>
using policy_at = typename list_at<I % plan<P>::period, typename plan<P>::types>::type;

/// Calls f(type_tag<policy>) with the policy that a slot gives to a layer.
template <class P, class F>
constexpr void with_policy(std::size_t layer, F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((layer % plan<P>::period == I ? f(type_tag<policy_at<P, I>>{}) : void()), ...);
    }
    (std::make_index_sequence<plan<P>::period>{});
}

/// Layers after which plans repeat together.
template <class... P>
inline constexpr std::size_t joint_period = [] {
    std::size_t n = 1;
    while (((n % plan<P>::period) | ...)) ++n;
    return n;
}();

}  // namespace qwen3vl
