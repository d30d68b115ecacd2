#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/testing/token_types.hpp>
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

/// Tokens of a picture and of text, which take turns.
constexpr std::int64_t picture = 13, text = 9;
template <Sees S>
bool sees(type_tag<mask::ByModality<S>>, std::int64_t query, std::int64_t key) {
    if (key > query) return false;
    if (key == query || key < S.sinks) return true;
    const bool from_picture = query % (picture + text) < picture, to_picture = key % (picture + text) < picture;
    if (from_picture) return to_picture ? S.vision_to_vision : S.vision_to_language;
    return to_picture ? S.language_to_vision : S.language_to_language;
}

using Masks = concat_t<
    concat_t<mask::all, mask::typed>,
    list<mask::SlidingWindow<Window{.tokens = 1}>, mask::SlidingWindow<Window{.tokens = 5, .sinks = 9}>,
         mask::BlockSparse<BlockPattern{.block = 8, .local = 1, .global = 0, .stride = 3}>,
         mask::BlockSparse<BlockPattern{.block = 7, .local = 2, .global = 2}>,
         mask::BlockSparse<BlockPattern{.block = 10, .local = 1, .global = 4, .stride = 2}>,
         mask::BlockSparse<BlockPattern{.block = 5, .local = 3, .global = 0, .stride = 1}>, mask::ByModality<>,
         mask::ByModality<Sees{.language_to_vision = false}>, mask::ByModality<Sees{.vision_to_language = false, .sinks = 30}>,
         mask::ByModality<Sees{.language_to_language = false, .vision_to_vision = false, .sinks = 5}>, mask::ByModality<Sees{false, false, false, false, 2}>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a mask's predicate is its definition", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    testing::AlternatingTypes types(150, picture, text);
    const auto mask = testing::mask_over<Mask>(types.types());
    static_assert(concepts::Mask<Mask>);
    int unequal = 0, beyond_span = 0;
    for (std::int64_t q = 0; q < 150; ++q)
        for (std::int64_t k = 0; k < 150; ++k) {
            unequal += mask.visible(q, k) != sees(TestType{}, q, k);
            // what a ring relies on: nothing older than the span is visible but the sinks
            if (Mask::span > 0 && k <= q - Mask::span && k >= Mask::sinks) beyond_span += mask.visible(q, k);
        }
    CHECK(unequal == 0);
    CHECK(beyond_span == 0);
}

TEMPLATE_LIST_TEST_CASE("a mask's ranges hold every visible key, ascending and apart", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    testing::AlternatingTypes types(150, picture, text);
    const auto mask = testing::mask_over<Mask>(types.types());
    int missed = 0, disordered = 0, idle = 0;
    const std::int64_t keys = 140;
    for (std::int64_t first = 0; first < keys; first += 3)
        for (std::int64_t last = first; last < keys && last < first + 50; last += 7) {
            const std::int64_t stored = Mask::causal ? last + 1 : keys;
            const auto covered_within = [&](std::int64_t begin, std::int64_t end) {
                std::vector<bool> covered(static_cast<std::size_t>(keys));
                std::int64_t next = begin;
                mask.for_each_range(first, last, {begin, end}, [&](qwen3vl::mask::KeyRange r) {
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
                for (std::int64_t q = first; q <= last; ++q) seen = seen || mask.visible(q, k);
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
    testing::AlternatingTypes types(150, picture, text);
    const auto mask = testing::mask_over<Mask>(types.types());
    int wrong = 0, whole = 0;
    for (std::int64_t q0 = 0; q0 < 100; q0 += 3)
        for (std::int64_t q1 = q0; q1 < q0 + 20; q1 += 4)
            for (std::int64_t k0 = 0; k0 < 100; k0 += 2)
                for (std::int64_t k1 = k0; k1 < k0 + 12; k1 += 3) {
                    if (!mask.whole(q0, q1, k0, k1)) continue;
                    ++whole;
                    for (std::int64_t q = q0; q <= q1; ++q)
                        for (std::int64_t k = k0; k <= k1; ++k) wrong += !mask.visible(q, k);
                }
    CHECK(wrong == 0);
    CHECK(whole > 0);
}

TEST_CASE("token types are those that were assigned, in runs") {
    std::vector<std::uint64_t> memory(4);
    REQUIRE(TokenTypes::bytes(256) == 32);
    REQUIRE(TokenTypes::bytes(193) == 32);
    TokenTypes types(reinterpret_cast<std::byte*>(memory.data()));
    std::vector<Modality> expected(256, Modality::language);
    int wrong = 0;
    const auto assign = [&](std::int64_t first, std::int64_t count, Modality m) {
        types.assign(first, count, m);
        std::fill_n(expected.begin() + first, count, m);
        for (std::int64_t t = 0; t < 256; ++t) {
            wrong += types[t] != expected[static_cast<std::size_t>(t)];
            for (std::int64_t end = t + 1; end <= 256; end += 13) {
                const auto from = expected.begin() + t, to = expected.begin() + end;
                wrong += types.run_end(t, end) != std::find_if(from, to, [&](Modality other) { return other != *from; }) - expected.begin();
                for (const auto wanted : {Modality::language, Modality::vision}) wrong += types.any(t, end - 1, wanted) != (std::find(from, to, wanted) != to);
            }
        }
    };
    assign(0, 0, Modality::vision);
    assign(3, 1, Modality::vision);
    assign(60, 8, Modality::vision);
    assign(100, 156, Modality::vision);
    assign(128, 64, Modality::language);
    assign(0, 256, Modality::vision);
    assign(63, 66, Modality::language);
    CHECK(wrong == 0);
    const auto words = types.words_of(130);
    CHECK(words.size() == 24);
    CHECK(types.run_end(129, 192) == 130);
    CHECK(types.any(130, 191, Modality::vision) == false);
    CHECK(types[192] == Modality::vision);
}
