#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "conformance.hpp"

using namespace qwen3vl;

namespace {

/// What each mask means, written from its definition.
bool sees(type_tag<mask::Full>, std::int64_t, std::int64_t) { return true; }
bool sees(type_tag<mask::Causal>, std::int64_t query, std::int64_t key) { return key <= query; }
template <Window W>
bool sees(type_tag<mask::SlidingWindow<W>>, std::int64_t query, std::int64_t key) {
    if (key > query) return false;
    const bool in_window = key > query - W.tokens, is_sink = key < W.sinks;
    return in_window || is_sink;
}

template <BlockPattern P>
bool sees(type_tag<mask::BlockSparse<P>>, std::int64_t query, std::int64_t key) {
    if (key > query) return false;
    const std::int64_t query_block = query / P.block, key_block = key / P.block;
    const bool is_local = query_block - key_block < P.local, is_global = key_block < P.global;
    return is_local || is_global || (P.stride > 0 && key_block % P.stride == P.stride - 1);
}

using Masks = concat_t<mask::all, list<mask::SlidingWindow<Window{.tokens = 1}>, mask::SlidingWindow<Window{.tokens = 5, .sinks = 9}>,
                                       mask::BlockSparse<BlockPattern{.block = 8, .local = 1, .global = 0, .stride = 3}>,
                                       mask::BlockSparse<BlockPattern{.block = 7, .local = 2, .global = 2}>,
                                       mask::BlockSparse<BlockPattern{.block = 10, .local = 1, .global = 4, .stride = 2}>,
                                       mask::BlockSparse<BlockPattern{.block = 5, .local = 3, .global = 0, .stride = 1}>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a mask's predicate is its definition", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    static_assert(concepts::Mask<Mask>);
    qwen3vl_test::check_predicate(Mask{}, 150, [](std::int64_t q, std::int64_t k) { return sees(TestType{}, q, k); });
    int beyond_span = 0;
    for (std::int64_t q = 0; q < 150; ++q)
        for (std::int64_t k = 0; k < 150; ++k)
            // what a ring relies on: nothing older than the span is visible but the sinks
            if (Mask::span > 0 && k <= q - Mask::span && k >= Mask::sinks) beyond_span += Mask::visible(q, k);
    CHECK(beyond_span == 0);
}

TEMPLATE_LIST_TEST_CASE("a mask's ranges hold every visible key, ascending and apart", "", testing::tuple_t<Masks>) {
    qwen3vl_test::check_ranges(typename TestType::type{}, 140);
}

TEMPLATE_LIST_TEST_CASE("a block that is called whole is wholly visible", "", testing::tuple_t<Masks>) {
    CHECK(qwen3vl_test::check_whole(typename TestType::type{}, 120) > 0);
}
