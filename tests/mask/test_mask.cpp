#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "catch.hpp"

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
    int unequal = 0, beyond_span = 0;
    for (std::int64_t q = 0; q < 150; ++q)
        for (std::int64_t k = 0; k < 150; ++k) {
            unequal += Mask::visible(q, k) != sees(TestType{}, q, k);
            // what a ring relies on: nothing older than the span is visible but the sinks
            if (Mask::span > 0 && k <= q - Mask::span && k >= Mask::sinks) beyond_span += Mask::visible(q, k);
        }
    CHECK(unequal == 0);
    CHECK(beyond_span == 0);
}

TEMPLATE_LIST_TEST_CASE("a mask's ranges hold every visible key, ascending and apart", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    int missed = 0, disordered = 0, idle = 0;
    const std::int64_t keys = 140;
    for (std::int64_t first = 0; first < keys; first += 3)
        for (std::int64_t last = first; last < keys && last < first + 50; last += 7) {
            const std::int64_t stored = Mask::causal ? last + 1 : keys;
            const auto covered_within = [&](std::int64_t begin, std::int64_t end) {
                std::vector<bool> covered(static_cast<std::size_t>(keys));
                std::int64_t next = begin;
                Mask::for_each_range(first, last, {begin, end}, [&](mask::KeyRange r) {
                    disordered += r.begin < next || r.begin >= r.end || r.end > end;
                    next = r.end;
                    for (std::int64_t k = r.begin; k < r.end; ++k) covered[static_cast<std::size_t>(k)] = true;
                });
                return covered;
            };
            const auto covered = covered_within(0, stored);
            for (std::int64_t begin = 0; begin < stored; begin += 17) {  // a part of the keys has its part of the ranges
                const std::int64_t end = std::min(begin + 23, stored);
                const auto part = covered_within(begin, end);
                for (std::int64_t k = 0; k < stored; ++k) {
                    const auto i = static_cast<std::size_t>(k);
                    missed += part[i] != (covered[i] && k >= begin && k < end);
                }
            }
            for (std::int64_t k = 0; k < stored; ++k) {
                bool seen = false;
                for (std::int64_t q = first; q <= last; ++q) seen = seen || Mask::visible(q, k);
                missed += seen && !covered[static_cast<std::size_t>(k)];
                idle += !seen && covered[static_cast<std::size_t>(k)];
            }
        }
    CHECK(missed == 0);
    CHECK(disordered == 0);
    CHECK(idle == 0);
}

TEMPLATE_LIST_TEST_CASE("a block that is called whole is wholly visible", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    int wrong = 0, whole = 0;
    for (std::int64_t q0 = 0; q0 < 100; q0 += 3)
        for (std::int64_t q1 = q0; q1 < q0 + 20; q1 += 4)
            for (std::int64_t k0 = 0; k0 < 100; k0 += 2)
                for (std::int64_t k1 = k0; k1 < k0 + 12; k1 += 3) {
                    if (!Mask::whole(q0, q1, k0, k1)) continue;
                    ++whole;
                    for (std::int64_t q = q0; q <= q1; ++q)
                        for (std::int64_t k = k0; k <= k1; ++k) wrong += !Mask::visible(q, k);
                }
    CHECK(wrong == 0);
    CHECK(whole > 0);
}
