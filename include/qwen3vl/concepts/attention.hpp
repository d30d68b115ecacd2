#pragma once
#include <cstddef>
#include <qwen3vl/concepts/named.hpp>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/grid.hpp>
#include <qwen3vl/core/token_modalities.hpp>
#include <type_traits>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {
struct Extent;
}
namespace qwen3vl::inline QWEN3VL_ABI::attention {
struct QueryBlock;
}

/// Requirements on masks, attention algorithms and caches.
namespace qwen3vl::inline QWEN3VL_ABI::concepts {

/// Visible keys of a query, by sequence index, as attention asks for them. Also: for_each_range(first_query,
/// last_query, within, f).
template <class V>
concept Visibility = requires(const V& v, std::int64_t i) {
    { v.whole(i, i, i, i) } -> std::same_as<bool>;
    { v.visible(i, i) } -> std::same_as<bool>;
};

/// A mask that chooses keys by their content: State summarises a layer's keys after they were written (update), and
/// selects the keys that a block of queries sees (select).
template <class M>
concept StatefulMask = requires(std::byte* memory, std::int64_t i) {
    { M::State::bytes(i, i, i) } -> std::same_as<std::int64_t>;
    { M::State::scratch_floats(i, i, i) } -> std::same_as<std::int64_t>;
    typename M::State;
    requires std::constructible_from < typename M::State, std::byte*, std::int64_t, std::int64_t, std::int64_t,
        const parameters_of<M, qwen3vl::detail::AnyParameter, std::vector<float>>
    & > ;
};

/// A mask over a picture's patches: over(grid, merge) makes it for each frame pair of a grid, with queries and keys in
/// an order of its own. Windows are `rows` x `cols` patches.
template <class M>
concept GridMask = requires(const M& m, const Grid& grid, std::int64_t i) {
    { M::over(grid, 2) } -> std::same_as<M>;
    { m.order(i) } -> std::same_as<std::int64_t>;
    { M::rows } -> std::convertible_to<int>;
    { M::cols } -> std::convertible_to<int>;
};

/// A mask that answers by the modality of tokens: an object made of the modalities of its sequence.
template <class M>
concept ModalityMask = std::constructible_from<M, const TokenModalities&>;
/// A mask that answers by itself, or by the modalities of tokens, for a sequence.
template <class M>
M mask_over([[maybe_unused]] const TokenModalities& types) {
    if constexpr (ModalityMask<M>)
        return M(types);
    else
        return {};
}

/// A mask that multiplies scores too: by score_factor(query, key), the same for keys up to same_factor_until(key, end).
template <class V>
concept ScalesScores = requires(const V& v, std::int64_t i) {
    { v.score_factor(i, i) } -> std::same_as<float>;
    { v.same_factor_until(i, i) } -> std::same_as<std::int64_t>;
};

/// A mask by which the visual tokens of a picture see later ones of it: a chunk ends outside of pictures.
template <class M>
concept LooksAhead = requires {
    requires M::looks_ahead;
};

/// `span` 0: a query may need all keys before it. Answers by itself, as static members or as an object of a grid or of
/// token types, or has a State that does.
template <class M>
concept Mask = Named<M> && requires {
    { M::causal } -> std::convertible_to<bool>;
    { M::span } -> std::convertible_to<std::int64_t>;
    { M::sinks } -> std::convertible_to<std::int64_t>;
} &&(Visibility<M> || StatefulMask<M>);

/// Attention and caches that go together: the cache keeps, of earlier keys, sums over the features of the attention.
/// The attention has attend<Arch>(team, heads, layer, scratch) in place of the other algorithms' attend().
template <class P>
concept Recurrent = requires {
    requires P::recurrent;
    { P::features } -> std::convertible_to<std::int64_t>;
};

/// Attentions name their mask.
template <class A>
concept HasMask = requires {
    typename A::mask;
}
&&Mask<typename A::mask>;
/// Attentions tell the floats of scratch that a block of rows takes: scratch_floats(rows, channels, keys).
template <class A>
concept HasScratch = requires(std::int64_t i) {
    { A::scratch_floats(i, i, i) } -> std::same_as<std::int64_t>;
};
/// The mask as attention is given it: itself, or the result of its State.
template <class M>
using VisibleOf = std::conditional_t<Visibility<M>, M, AnyVisible>;
/// Attentions compute a block of queries, or are recurrent.
template <class A>
concept Attends = Recurrent<A> ||
    requires(const attention::QueryBlock& queries, const VisibleOf<typename A::mask>& visible, const AnyTiles& tiles,
             float* out, float* scratch) {
    A::template attend<arch::native>(queries, visible, tiles, out, scratch);
};
/// Attention of a block of queries over the tiles of a head's keys: attend<Arch>(queries, visible, tiles, out,
/// scratch).
template <class A>
concept Attention = Named<A> && HasMask<A> && HasScratch<A> && Attends<A>;

/// Caches name their codec.
template <class C>
concept HasCodec = requires {
    typename C::codec;
}
&&Named<typename C::codec>;
/// Caches tell whether they can be rewound and saved, and how many tokens they keep.
template <class C>
concept StatesAbilities = requires {
    { C::can_rewind } -> std::convertible_to<bool>;
    { C::can_save } -> std::convertible_to<bool>;
    { C::capacity } -> std::convertible_to<std::int64_t>;
};
/// Caches tell the bytes of a layer, or of a layer in a page.
template <class C>
concept StatesBytes = requires(const kv_cache::Extent& extent) {
    { C::bytes(extent) } -> std::same_as<std::int64_t>;
}
|| requires(const kv_cache::Extent& extent) {
    { C::page_bytes(extent) } -> std::same_as<std::int64_t>;
};
/// Caches tell how many tokens may be written before attention reads them.
template <class C>
concept StatesChunk = requires(const kv_cache::Extent& extent) {
    { C::largest_chunk(extent) } -> std::same_as<std::int64_t>;
};
/// Layers of caches give tiles of keys and values.
template <class C>
concept GivesTiles = requires(const typename C::Layer& layer, std::int64_t i) {
    layer.tile(i, i, i);
};
/// Layers of caches store the key and value of a token and head.
template <class C>
concept WritesRows = requires(typename C::Layer& layer, std::int64_t i, const float* row) {
    layer.template write<arch::native>(i, i, row, row);
};
/// A cache's Layer holds one layer's keys and values: write<Arch>(kv_head, token, key, value), tile(kv_head, index,
/// tokens). A cache that can be saved has saved_bytes(extent, tokens), and its Layer for_each_piece(tokens, f).
/// kv_cache/layer_access.hpp has what some caches offer beyond that.
template <class C>
concept KvCache =
    Named<C> && HasCodec<C> && StatesAbilities<C> && StatesBytes<C> && StatesChunk<C> && GivesTiles<C> && WritesRows<C>;

}  // namespace qwen3vl::concepts
