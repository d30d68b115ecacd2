#pragma once
#include <qwen3vl/concepts/named.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/pass.hpp>

/// Requirements on the policies of a picture, from its size to its place in the decoder: resolution, alignment, token
/// reduction, fusion.
namespace qwen3vl::inline QWEN3VL_ABI::concepts {

/// Policies reduce the tokens of an encoded picture.
template <class T>
concept ReducesTokens = requires(const AnyOps& ops, const ModelDims& dims, const VisionParameters<T>& p,
                                 VisualFeatures& f) {
    T::template reduce<AnyFormat>(ops, dims, p, f);
};
/// reduce<Weights>(ops, dims, parameters, features) of an encoded picture.
template <class T>
concept TokenReduction = Named<T> && ReducesTokens<T>;

/// Policies tell the least and most pixels of a picture.
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

/// Policies join pictures to the embeddings of a pass.
template <class F>
concept EmbedsPictures = requires(const Pass<AnyOps, VisionParameters<F>, state_of<F>>& pass) {
    F::template embed<AnyFormat>(pass);
};
/// Joins visual features to the rows of a pass (core/pass.hpp), in prompts and in every decoded token:
/// embed<Weights>(pass) before the first layer. Weights is the format of the policy's matrices. Optional:
/// before_layer<Weights>(pass, layer) and after_layer<Weights>(pass, layer).
template <class F>
concept Fusion = Named<F> && EmbedsPictures<F>;

/// Policies align the features of an encoded picture.
template <class A>
concept AlignsFeatures = requires(const AnyOps& ops, const ModelDims& dims, const VisionParameters<A>& p,
                                  VisualFeatures& f) {
    A::template align<AnyFormat>(ops, dims, p, f);
};
/// align<Weights>(ops, dims, parameters, features) of an encoded picture.
template <class A>
concept Alignment = Named<A> && AlignsFeatures<A>;

}  // namespace qwen3vl::concepts
