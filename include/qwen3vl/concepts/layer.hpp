#pragma once
#include <qwen3vl/concepts/named.hpp>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/pass.hpp>
#include <qwen3vl/core/tensor.hpp>

/// Requirements on the other policies of a layer: norm, activation, positions, weights, feed-forward, depth.
namespace qwen3vl::inline QWEN3VL_ABI::concepts {

/// Norms tell whether a checkpoint has a bias for them.
template <class N>
concept StatesBias = requires {
    { N::has_bias } -> std::convertible_to<bool>;
};
/// Norms compute a row.
template <class N>
concept NormalisesRows = requires(const float* x, float epsilon, std::int64_t n, float* out) {
    N::template row<arch::native>(x, x, x, epsilon, n, out);
};
/// row<Arch>(x, weight, bias, epsilon, n, out) of n channels; out may be x.
template <class N>
concept Norm = Named<N> && StatesBias<N> && NormalisesRows<N>;

/// Activations tell whether they take a gate.
template <class A>
concept StatesGate = requires {
    { A::gated } -> std::convertible_to<bool>;
};
/// Activations compute a row, with a gate or without.
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

/// Positions tell whether they count time, row and column apart.
template <class P>
concept StatesMultimodal = requires {
    { P::multimodal } -> std::convertible_to<bool>;
};
/// Positions give each pair's axis and frequency, and a factor of cosines and sines.
template <class P>
concept GivesAngles = requires(const TextDims& d) {
    { P::axis(d, 0) } -> std::same_as<int>;
    { P::frequency(d, 0) } -> std::same_as<float>;
    { P::attention_factor() } -> std::same_as<float>;
};
/// Positions tell the longest context that they count to.
template <class P>
concept LimitsPositions = requires(const TextDims& d) {
    { P::max_positions(d) } -> std::same_as<std::int64_t>;
};
/// Positions turn angles into cosines and sines.
template <class P>
concept TurnsAngles = requires(std::int64_t n, float* values) {
    P::template cos_sin<arch::native>(n, values, values);
};
/// Rotary positions; position::TextRotary has cos_sin, attention_factor and max_positions.
template <class P>
concept TextPosition = Named<P> && StatesMultimodal<P> && GivesAngles<P> && LimitsPositions<P> && TurnsAngles<P>;

/// Positions of the tower: `table` gives the embedding of a patch, `rotary` the angles.
template <class P>
concept VisionPosition = Named<P> && requires(const VisionDims& d) {
    { P::rotary::axis(d, 0) } -> std::same_as<int>;
    { P::rotary::frequency(d, 0) } -> std::same_as<float>;
    P::table::sample(0, 1, 1).weight;
};

/// A weight format: its operations are those of weights::traits<Format>.
template <class F>
concept WeightFormat = Named<F>;

/// Policies tell whether a released checkpoint runs as it was trained.
template <class P>
concept StatesCapacity = requires {
    { P::preserves_capacity } -> std::convertible_to<bool>;
};
/// y += the layer's output for the packed rows of x: add<Format, Activation>(ops, parameters, x, inner, y), or
/// add<Format, Activation>(pass, layer, x, inner) where it keeps a state. `inner` has as many rows of ffn columns.
/// Formats and packed rows are checked where they are known, in ops/.
template <class F>
concept Ffn = Named<F> && StatesCapacity<F>;

/// Depth policies tell which layers run.
template <class D>
concept ChoosesLayers = requires {
    { D::runs(0, 1) } -> std::same_as<bool>;
};
/// Depth policies that look at rows before and after a layer.
template <class D>
concept ComparesRows = requires {
    requires D::compares_rows;
};
/// Depth policies put rows back, if they compare any.
template <class D>
concept LeavesRows =
    !ComparesRows<D> || requires(const Pass<AnyOps, VisionParameters<D>, state_of<D>>& pass, ConstMatrix before) {
    D::template after_layer<AnyFormat>(pass, 0, before);
};
/// Selects the layers that run; with `compares_rows = true`, after_layer<Weights>(pass, layer, rows before) may put
/// rows back.
template <class D>
concept Depth = Named<D> && StatesCapacity<D> && ChoosesLayers<D> && LeavesRows<D>;

}  // namespace qwen3vl::concepts
