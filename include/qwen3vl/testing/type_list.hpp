#pragma once
#include <qwen3vl/core/list.hpp>
#include <string>
#include <tuple>

namespace qwen3vl::inline QWEN3VL_ABI::testing {

template <class L>
struct as_tuple;
template <class... T>
struct as_tuple<list<T...>> {
    using type = std::tuple<type_tag<T>...>;
};
/// A type list as the tuple that Catch2's TEMPLATE_LIST_TEST_CASE takes. The elements are type_tag<T>, because Catch2
/// may not name T itself where T is incomplete or has no default constructor.
template <class L>
using tuple_t = typename as_tuple<L>::type;

}  // namespace qwen3vl::testing
