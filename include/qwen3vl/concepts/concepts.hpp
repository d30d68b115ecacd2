#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/tables.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/core/token_types.hpp>

/// What a policy of each slot must offer. Member templates over Arch cannot be asked for here; the conformance tests run them.
namespace qwen3vl::inline QWEN3VL_ABI::concepts {

template <class P>
concept Named = requires {
    { P::name } -> std::convertible_to<const char*>;
};

/// What attention asks about the visible keys of a query, by sequence index. Also: for_each_range(first_query, last_query, within, f).
template <class V>
concept Visibility = requires(const V& v, std::int64_t i) {
    { v.whole(i, i, i, i) } -> std::same_as<bool>;
    { v.visible(i, i) } -> std::same_as<bool>;
};

/// A mask that chooses keys by what they are: State sums a layer's keys up after they were written (update), and says what a block of queries sees (select).
template <class M>
concept StatefulMask = requires(std::byte* memory, std::int64_t i) {
    { M::State::bytes(i, i, i) } -> std::same_as<std::int64_t>;
    { M::State::scratch_floats(i, i, i) } -> std::same_as<std::int64_t>;
    typename M::State;
    requires std::constructible_from<typename M::State, std::byte*, std::int64_t, std::int64_t, std::int64_t, Tables>;
};

/// A mask over a picture's patches: over(grid, merge) makes it for each frame pair of a grid, with queries and keys in an order of its own. Windows are `rows`
/// x `cols` patches.
template <class M>
concept GridMask = requires(const M& m, const Grid& grid, std::int64_t i) {
    { M::over(grid, 2) } -> std::same_as<M>;
    { m.order(i) } -> std::same_as<std::int64_t>;
    { M::rows } -> std::convertible_to<int>;
    { M::cols } -> std::convertible_to<int>;
};

/// A mask that answers by the modality of tokens: an object made of those of its sequence.
template <class M>
concept TypedMask = std::constructible_from<M, const TokenTypes&>;

/// `span` 0: a query may need all keys before it. Answers by itself, as static members or as an object of a grid or of token types, or
/// has a State that does.
template <class M>
concept Mask = Named<M> && requires {
    { M::causal } -> std::convertible_to<bool>;
    { M::span } -> std::convertible_to<std::int64_t>;
    { M::sinks } -> std::convertible_to<std::int64_t>;
} &&(Visibility<M> || StatefulMask<M>);

/// Also: template <class Arch, class Visible, class Tiles> static void attend(const QueryBlock&, const Visible&, const Tiles&, float* out, float* scratch).
template <class A>
concept Attention = Named<A> && requires {
    typename A::mask;
} && Mask<typename A::mask> && requires(std::int64_t i) {
    { A::scratch_floats(i, i, i) } -> std::same_as<std::int64_t>;
};

/// Attention and caches that go together: what the one keeps of earlier keys are sums over its features. Also, of the attention: template <class Arch, class
/// Team, class Cache> static void attend(Team&, const Heads&, Cache& layer, float* scratch).
template <class P>
concept Recurrent = requires {
    requires P::recurrent;
    { P::features } -> std::convertible_to<std::int64_t>;
};

/// Also: Layer::write<Arch>(kv_head, token, key, value); where it can be saved, Layer::for_each_piece(tokens, f) and saved_bytes(extent, tokens). What some
/// caches offer beyond that stands in kv_cache/layer_access.hpp.
template <class C>
concept KvCache = Named<C> && Named<typename C::codec> && requires(const typename C::Layer& layer, std::int64_t i) {
    { C::can_rewind } -> std::convertible_to<bool>;
    { C::can_save } -> std::convertible_to<bool>;
    { C::capacity } -> std::convertible_to<std::int64_t>;
    layer.tile(i, i, i);
};

/// Also: template <class Arch> static void row(x, weight, bias, eps, n, out).
template <class N>
concept Norm = Named<N> && requires {
    { N::has_bias } -> std::convertible_to<bool>;
};

/// Also: template <class Arch> static void row(x, n, out), or row(gate, up, n, out) where gated.
template <class A>
concept Activation = Named<A> && requires {
    { A::gated } -> std::convertible_to<bool>;
};

/// Also: template <class Arch> static void cos_sin(n, cosines, sines). position::TextRotary has it and the last two.
template <class P>
concept TextPosition = Named<P> && requires(const TextDims& d) {
    { P::multimodal } -> std::convertible_to<bool>;
    { P::axis(d, 0) } -> std::same_as<int>;
    { P::frequency(d, 0) } -> std::same_as<float>;
    { P::attention_factor() } -> std::same_as<float>;
    { P::max_positions(d) } -> std::same_as<std::int64_t>;
};

template <class P>
concept VisionPosition = Named<P> && requires(const VisionDims& d) {
    { P::rotary::axis(d, 0) } -> std::same_as<int>;
    { P::rotary::frequency(d, 0) } -> std::same_as<float>;
    P::table::sample(0, 1, 1).weight;
};

/// A format's operations stand in weights::traits<Format>.
template <class F>
concept WeightFormat = Named<F>;

/// Also: template <class Arch, class Format, class Activation> static void add(team, layer, x, inner, y).
template <class F>
concept Ffn = Named<F> && requires {
    { F::preserves_capacity } -> std::convertible_to<bool>;
};

template <class D>
concept Depth = Named<D> && requires {
    { D::preserves_capacity } -> std::convertible_to<bool>;
    { D::runs(0, 1) } -> std::same_as<bool>;
};

template <class T>
concept TokenReduction = Named<T> && requires(VisualFeatures f) {
    { T::reduce(f) } -> std::same_as<VisualFeatures>;
};

template <class R>
concept Resolution = Named<R>;

/// Also: template <class Arch> static void after_layer(layer, features, first, x).
template <class F>
concept Fusion = Named<F> && requires(const VisualFeatures& f, Matrix x) {
    F::embed(f, std::int64_t{0}, x);
};

template <class A>
concept Alignment = Named<A> && requires(VisualFeatures& f) {
    A::align(f);
};

/// Also: Team::run(count, f(task, thread)).
template <class E>
concept Execution = Named<E> && std::constructible_from<typename E::Team, int> && requires(const typename E::Team& t) {
    { t.threads() } -> std::same_as<int>;
    { E::team_size(0) } -> std::same_as<int>;
};

template <class M>
concept Memory = Named<M> && std::constructible_from<M, std::int64_t> && requires(M& m, std::int64_t n) {
    { M::footprint(n) } -> std::same_as<std::int64_t>;
    { m.take(n) } -> std::same_as<std::byte*>;
};

template <class A>
concept Arch = Named<A> && requires {
    { A::floats } -> std::convertible_to<int>;
    { A::compiled } -> std::convertible_to<bool>;
    { A::supported() } -> std::same_as<bool>;
};

}  // namespace qwen3vl::concepts
