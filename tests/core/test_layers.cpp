#include <qwen3vl/core/layers.hpp>
#include <string>
#include <type_traits>
#include "catch.hpp"

using namespace qwen3vl;

namespace layers_test {
struct A;  // incomplete on purpose: naming a policy in a plan must not need it whole
struct B;
using Mixed = Layers<Pattern<A, A, B>>;

static_assert(plan<A>::period == 1 && plan<Mixed>::period == 3);
static_assert(std::is_same_v<policy_at<A, 7>, A>);
static_assert(std::is_same_v<policy_at<Mixed, 0>, A> && std::is_same_v<policy_at<Mixed, 1>, A> &&
              std::is_same_v<policy_at<Mixed, 2>, B>);
static_assert(std::is_same_v<policy_at<Mixed, 5>, B> && std::is_same_v<policy_at<Mixed, 6>, A>);
static_assert(joint_period<A, B> == 1 && joint_period<Mixed, A> == 3 &&
              joint_period<Mixed, Layers<Pattern<A, B>>> == 6);
static_assert(joint_period<Layers<Pattern<A, B>>, Layers<Pattern<A, B, A, B>>> == 4);

TEST_CASE("lists visit their types in order and join") {
    using L = concat_t<list<char, short>, list<int>>;
    static_assert(list_size<L>::value == 3);
    std::string sizes;
    for_each_type<L>([&](auto tag) { sizes += std::to_string(sizeof(typename decltype(tag)::type)); });
    CHECK(sizes == "124");
}

TEST_CASE("a plan names the policy of a layer at run time") {
    std::string names;
    for (std::size_t layer = 0; layer < 5; ++layer)
        with_policy<Mixed>(layer, [&](auto tag) { names += std::is_same_v<decltype(tag), type_tag<A>> ? 'A' : 'B'; });
    with_policy<B>(7, [&](auto tag) { names += std::is_same_v<decltype(tag), type_tag<B>> ? 'b' : '?'; });
    CHECK(names == "AABAAb");
}

}  // namespace layers_test
