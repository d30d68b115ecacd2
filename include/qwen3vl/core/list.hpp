#pragma once
#include <cstddef>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A list of types. Undefined on purpose: naming it instantiates none of its members.
template <class...>
struct list;

template <class L>
struct list_size;
template <class... T>
struct list_size<list<T...>> {
    static constexpr std::size_t value = sizeof...(T);
};

/// A type as a value, for calling a lambda with it.
template <class T>
struct type_tag {
    using type = T;
};

/// Calls f(type_tag<T>{}) for every T of the list, in order.
template <class F, class... T>
constexpr void for_each_type(list<T...>*, F&& f) {
    (f(type_tag<T>{}), ...);
}
/// Calls f(type_tag<T>{}) for each type of a list, in order.
template <class L, class F>
constexpr void for_each_type(F&& f) {
    for_each_type(static_cast<L*>(nullptr), f);
}

template <class, class>
struct concat;
template <class... A, class... B>
struct concat<list<A...>, list<B...>> {
    using type = list<A..., B...>;
};
template <class A, class B>
using concat_t = typename concat<A, B>::type;  ///< The types of two lists, one after the other.

}  // namespace qwen3vl
