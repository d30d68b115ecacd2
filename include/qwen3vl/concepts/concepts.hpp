#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/pass.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/core/token_modalities.hpp>
#include <type_traits>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {
struct Extent;
}
namespace qwen3vl::inline QWEN3VL_ABI::attention {
struct QueryBlock;
}

/// Requirements on a policy of each slot. Members over an Arch are required for the one that the program is compiled
/// for; the conformance tests run the others. policies/check_slots.hpp tells which member a policy lacks.
namespace qwen3vl::inline QWEN3VL_ABI::concepts {

template <class P>
concept Named = requires {
    { P::name } -> std::convertible_to<const char*>;
};

/// Stand-ins in the place of types that a policy's member templates take.
struct AnyFormat {};
struct AnyOps {
    using Space = HostSpace;  ///< those of the host
};
struct AnyVisible {};
struct AnyTiles {};
/// A policy's parameters, with a stand-in for a matrix.
template <class P>
using VisionParameters = parameters_of<P, qwen3vl::detail::AnyParameter, std::vector<float>>;

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

template <class A>
concept HasMask = requires {
    typename A::mask;
}
&&Mask<typename A::mask>;
template <class A>
concept HasScratch = requires(std::int64_t i) {
    { A::scratch_floats(i, i, i) } -> std::same_as<std::int64_t>;
};
/// The mask as attention is given it: itself, or the result of its State.
template <class M>
using VisibleOf = std::conditional_t<Visibility<M>, M, AnyVisible>;
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

template <class C>
concept HasCodec = requires {
    typename C::codec;
}
&&Named<typename C::codec>;
template <class C>
concept StatesAbilities = requires {
    { C::can_rewind } -> std::convertible_to<bool>;
    { C::can_save } -> std::convertible_to<bool>;
    { C::capacity } -> std::convertible_to<std::int64_t>;
};
template <class C>
concept StatesBytes = requires(const kv_cache::Extent& extent) {
    { C::bytes(extent) } -> std::same_as<std::int64_t>;
}
|| requires(const kv_cache::Extent& extent) {
    { C::page_bytes(extent) } -> std::same_as<std::int64_t>;
};
template <class C>
concept StatesChunk = requires(const kv_cache::Extent& extent) {
    { C::largest_chunk(extent) } -> std::same_as<std::int64_t>;
};
template <class C>
concept GivesTiles = requires(const typename C::Layer& layer, std::int64_t i) {
    layer.tile(i, i, i);
};
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

template <class N>
concept StatesBias = requires {
    { N::has_bias } -> std::convertible_to<bool>;
};
template <class N>
concept NormalisesRows = requires(const float* x, float epsilon, std::int64_t n, float* out) {
    N::template row<arch::native>(x, x, x, epsilon, n, out);
};
/// row<Arch>(x, weight, bias, epsilon, n, out) of n channels; out may be x.
template <class N>
concept Norm = Named<N> && StatesBias<N> && NormalisesRows<N>;

template <class A>
concept StatesGate = requires {
    { A::gated } -> std::convertible_to<bool>;
};
template <class A>
concept ActivatesRows = requires(const float* x, std::int64_t n, float* out) {
    requires !A::gated;
    A::template row<arch::native>(x, n, out);
}
|| requires(const float* x, std::int64_t n, float* out) {
    requires A::gated;
    A::template row<arch::native>(x, x, n, out);
};
/// row<Arch>(x, n, out), or row<Arch>(gate, up, n, out) where gated.
template <class A>
concept Activation = Named<A> && StatesGate<A> && ActivatesRows<A>;

template <class P>
concept StatesMultimodal = requires {
    { P::multimodal } -> std::convertible_to<bool>;
};
template <class P>
concept GivesAngles = requires(const TextDims& d) {
    { P::axis(d, 0) } -> std::same_as<int>;
    { P::frequency(d, 0) } -> std::same_as<float>;
    { P::attention_factor() } -> std::same_as<float>;
};
template <class P>
concept LimitsPositions = requires(const TextDims& d) {
    { P::max_positions(d) } -> std::same_as<std::int64_t>;
};
template <class P>
concept TurnsAngles = requires(std::int64_t n, float* values) {
    P::template cos_sin<arch::native>(n, values, values);
};
/// Rotary positions; position::TextRotary has cos_sin, attention_factor and max_positions.
template <class P>
concept TextPosition = Named<P> && StatesMultimodal<P> && GivesAngles<P> && LimitsPositions<P> && TurnsAngles<P>;

template <class P>
concept VisionPosition = Named<P> && requires(const VisionDims& d) {
    { P::rotary::axis(d, 0) } -> std::same_as<int>;
    { P::rotary::frequency(d, 0) } -> std::same_as<float>;
    P::table::sample(0, 1, 1).weight;
};

/// A weight format: its operations are those of weights::traits<Format>.
template <class F>
concept WeightFormat = Named<F>;

template <class P>
concept StatesCapacity = requires {
    { P::preserves_capacity } -> std::convertible_to<bool>;
};
/// y += the layer's output for the packed rows of x: add<Format, Activation>(ops, parameters, x, inner, y), or
/// add<Format, Activation>(pass, layer, x, inner) where it keeps a state. `inner` has as many rows of ffn columns.
/// Formats and packed rows are checked where they are known, in ops/.
template <class F>
concept Ffn = Named<F> && StatesCapacity<F>;

template <class D>
concept ChoosesLayers = requires {
    { D::runs(0, 1) } -> std::same_as<bool>;
};
template <class D>
concept ComparesRows = requires {
    requires D::compares_rows;
};
template <class D>
concept LeavesRows =
    !ComparesRows<D> || requires(const Pass<AnyOps, VisionParameters<D>, state_of<D>>& pass, ConstMatrix before) {
    D::template after_layer<AnyFormat>(pass, 0, before);
};
/// Selects the layers that run; with `compares_rows = true`, after_layer<Weights>(pass, layer, rows before) may put
/// rows back.
template <class D>
concept Depth = Named<D> && StatesCapacity<D> && ChoosesLayers<D> && LeavesRows<D>;

template <class T>
concept ReducesTokens = requires(const AnyOps& ops, const ModelDims& dims, const VisionParameters<T>& p,
                                 VisualFeatures& f) {
    T::template reduce<AnyFormat>(ops, dims, p, f);
};
/// reduce<Weights>(ops, dims, parameters, features) of an encoded picture.
template <class T>
concept TokenReduction = Named<T> && ReducesTokens<T>;

template <class R>
concept LimitsPixels = requires {
    { R::budget({}).least } -> std::convertible_to<std::int64_t>;
    { R::budget({}).most } -> std::convertible_to<std::int64_t>;
}
|| requires(const VisionParameters<R>& p) {
    requires BringsParameters<R>;
    { R::budget(p, {}).least } -> std::convertible_to<std::int64_t>;
    { R::budget(p, {}).most } -> std::convertible_to<std::int64_t>;
};
/// budget(configured), or budget(parameters, configured) where it brings some: the least and most pixels that a picture
/// is resized to.
template <class R>
concept Resolution = Named<R> && LimitsPixels<R>;

template <class F>
concept EmbedsPictures = requires(const Pass<AnyOps, VisionParameters<F>, state_of<F>>& pass) {
    F::template embed<AnyFormat>(pass);
};
/// Joins visual features to the rows of a pass (core/pass.hpp), in prompts and in every decoded token:
/// embed<Weights>(pass) before the first layer. Weights is the format of the policy's matrices. Optional:
/// before_layer<Weights>(pass, layer) and after_layer<Weights>(pass, layer).
template <class F>
concept Fusion = Named<F> && EmbedsPictures<F>;

template <class A>
concept AlignsFeatures = requires(const AnyOps& ops, const ModelDims& dims, const VisionParameters<A>& p,
                                  VisualFeatures& f) {
    A::template align<AnyFormat>(ops, dims, p, f);
};
/// align<Weights>(ops, dims, parameters, features) of an encoded picture.
template <class A>
concept Alignment = Named<A> && AlignsFeatures<A>;

template <class E>
concept HasTeam = requires {
    typename E::Team;
}
&&std::constructible_from<typename E::Team, int>&& requires(const typename E::Team& t) {
    { t.threads() } -> std::same_as<int>;
};
template <class E>
concept StatesTeamSize = requires {
    { E::team_size(0) } -> std::same_as<int>;
};
/// Stand-in for a task of a team.
struct AnyTask {
    /// Takes a task's number and a thread's.
    void operator()(std::int64_t task, int thread) const;
};
template <class E>
concept RunsTasks = requires(typename E::Team& team, std::int64_t count, const AnyTask& task) {
    team.run(count, task);
    team.limit(0);
};
/// A Team runs tasks: run(count, f(task, thread)), limit(threads), prefetch(count, f(task)).
template <class E>
concept Execution = Named<E> && HasTeam<E> && StatesTeamSize<E> && RunsTasks<E>;

template <class M>
concept StatesFootprint = std::constructible_from<M, std::int64_t> && requires(std::int64_t n) {
    { M::footprint(n) } -> std::same_as<std::int64_t>;
};
template <class M>
concept GivesBlocks = requires(M& m, std::int64_t n) {
    m.take(n);
};
/// A block of `footprint` sums, which take(bytes) hands out piece by piece.
template <class M>
concept Memory = Named<M> && StatesFootprint<M> && GivesBlocks<M>;

template <class A>
concept Arch = Named<A> && requires {
    { A::floats } -> std::convertible_to<int>;
    { A::compiled } -> std::convertible_to<bool>;
    { A::supported() } -> std::same_as<bool>;
};

}  // namespace qwen3vl::concepts
