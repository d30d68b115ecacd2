#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/token_modalities.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "conformance.hpp"

using namespace qwen3vl;

namespace mask_test {

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

template <Temperatures T, class Inner>
bool sees(type_tag<mask::TemperedBy<T, Inner>>, std::int64_t query, std::int64_t key) {
    return sees(type_tag<Inner>{}, query, key);
}

template <class Inner>
bool sees(type_tag<mask::BidirectionalPictures<Inner>>, std::int64_t query, std::int64_t key) {
    const std::int64_t of_query = query % (picture + text), of_key = key % (picture + text);
    return sees(type_tag<Inner>{}, query, key) ||
           (of_query < picture && of_key < picture && query - of_query == key - of_key);
}

using Masks =
    concat_t<concat_t<concat_t<mask::all, mask::typed>, mask::tempered>,
             list<mask::SlidingWindow<Window{.tokens = 1}>, mask::SlidingWindow<Window{.tokens = 5, .sinks = 9}>,
                  mask::BlockSparse<BlockPattern{.block = 8, .local = 1, .global = 0, .stride = 3}>,
                  mask::BlockSparse<BlockPattern{.block = 7, .local = 2, .global = 2}>,
                  mask::BlockSparse<BlockPattern{.block = 10, .local = 1, .global = 4, .stride = 2}>,
                  mask::BlockSparse<BlockPattern{.block = 5, .local = 3, .global = 0, .stride = 1}>, mask::ByModality<>,
                  mask::ByModality<Sees{.language_to_vision = false}>,
                  mask::ByModality<Sees{.vision_to_language = false, .sinks = 30}>,
                  mask::ByModality<Sees{.language_to_language = false, .vision_to_vision = false, .sinks = 5}>,
                  mask::ByModality<Sees{false, false, false, false, 2}>, mask::BidirectionalPictures<>,
                  mask::BidirectionalPictures<mask::ByModality<Sees{.vision_to_vision = false, .sinks = 5}>>,
                  mask::BidirectionalPictures<mask::BlockSparse<BlockPattern{.block = 7, .local = 1, .global = 2}>>>>;

TEMPLATE_LIST_TEST_CASE("a mask's predicate is its definition", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    testing::AlternatingTypes types(150, picture, text);
    const auto mask = testing::mask_over<Mask>(types.types());
    static_assert(concepts::Mask<Mask>);
    qwen3vl_test::check_predicate(mask, 150, [](std::int64_t q, std::int64_t k) { return sees(TestType{}, q, k); });
    int beyond_span = 0;
    for (std::int64_t q = 0; q < 150; ++q)
        for (std::int64_t k = 0; k < 150; ++k)
            // what a ring relies on: nothing older than the span is visible but the sinks, and of a query's own picture
            // what is in its chunk
            if (Mask::span > 0 && !concepts::LooksAhead<Mask> && k <= q - Mask::span && k >= Mask::sinks)
                beyond_span += mask.visible(q, k);
    CHECK(beyond_span == 0);
}

TEMPLATE_LIST_TEST_CASE("a mask's ranges hold every visible key, ascending and apart", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    testing::AlternatingTypes types(150, picture, text);
    qwen3vl_test::check_ranges(testing::mask_over<Mask>(types.types()), 140);
}

TEMPLATE_LIST_TEST_CASE("a block that is called whole is wholly visible", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    testing::AlternatingTypes types(150, picture, text);
    CHECK(qwen3vl_test::check_whole(testing::mask_over<Mask>(types.types()), 120) > 0);
}

TEST_CASE("token types are those that were assigned, in runs") {
    std::vector<std::uint64_t> memory(12);
    REQUIRE(TokenModalities::bytes(256) == 96);
    REQUIRE(TokenModalities::bytes(193) == 96);
    TokenModalities types(reinterpret_cast<std::byte*>(memory.data()));
    std::vector<Modality> expected(256, Modality::language);
    int wrong = 0;
    const auto assign = [&](std::int64_t first, std::int64_t count, Modality m) {
        types.assign(first, count, m);
        std::fill_n(expected.begin() + first, count, m);
        for (std::int64_t t = 0; t < 256; ++t) {
            wrong += types[t] != expected[static_cast<std::size_t>(t)];
            for (std::int64_t end = t + 1; end <= 256; end += 13) {
                const auto from = expected.begin() + t, to = expected.begin() + end;
                wrong += types.run_end(t, end) !=
                         std::find_if(from, to, [&](Modality other) { return other != *from; }) - expected.begin();
                for (const auto wanted : {Modality::language, Modality::vision})
                    wrong += types.any(t, end - 1, wanted) != (std::find(from, to, wanted) != to);
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
}

TEST_CASE("visual tokens are counted, and again where other tokens take their place") {
    std::vector<std::uint64_t> memory(static_cast<std::size_t>(TokenModalities::bytes(400)) / 8);
    TokenModalities types(reinterpret_cast<std::byte*>(memory.data()));
    testing::Rng rng(5);
    std::vector<std::int64_t> before{0};
    int wrong = 0;
    for (const std::size_t kept : {0u, 70u, 192u}) {
        before.resize(kept + 1);
        while (before.size() <= 400) {
            const bool vision = rng.below(2) == 1;
            const auto at = static_cast<std::int64_t>(before.size()) - 1,
                       n = std::min<std::int64_t>(1 + rng.below(90), 400 - at);
            types.assign(at, n, vision ? Modality::vision : Modality::language);
            for (std::int64_t i = 0; i < n; ++i) before.push_back(before.back() + vision);
            for (std::size_t t = 0; t < before.size(); ++t)
                wrong += types.visual_before(static_cast<std::int64_t>(t)) != before[t];
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("pictures that touch are told apart, over several words") {
    std::vector<std::uint64_t> memory(static_cast<std::size_t>(TokenModalities::bytes(400)) / 8);
    TokenModalities types(reinterpret_cast<std::byte*>(memory.data()));
    const auto check = [&](const std::vector<std::int64_t>& begins) {  // of pictures and of each text token; the end
        int wrong = 0;
        for (std::size_t i = 0; i + 1 < begins.size(); ++i)
            for (std::int64_t t = begins[i]; t < begins[i + 1]; ++t) {
                wrong += types.picture_begin(t) != begins[i];
                wrong += types.picture_end(t) != begins[i + 1];
                for (std::int64_t other = 0; other < begins.back(); other += 7)
                    wrong += types.same_picture(std::min(t, other), std::max(t, other)) !=
                             (other >= begins[i] && other < begins[i + 1]);
            }
        CHECK(wrong == 0);
    };
    types.assign(0, 62, Modality::vision);
    types.assign(62, 2, Modality::vision);
    types.assign(64, 64, Modality::vision);
    types.assign(128, 1, Modality::language);
    types.assign(129, 200, Modality::vision);
    check({0, 62, 64, 128, 129, 329});
    types.assign(129, 3, Modality::language);  // other tokens in the same places
    types.assign(132, 1, Modality::vision);
    types.join_next(132);
    types.assign(133, 1, Modality::vision);
    check({0, 62, 64, 128, 129, 130, 131, 132, 134});
}

}  // namespace mask_test
