#pragma once
#include <qwen3vl/policies/layer_slots.hpp>
#include <qwen3vl/text/parameters.hpp>
#include <qwen3vl/vision/parameters.hpp>
#include <qwen3vl/weights/matrix.hpp>
#include <string>
#include <tuple>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A policy's parameters as a model holds them.
template <class Policy>
using LoadedParameters = parameters_of<Policy, weights::WeightMatrix, std::vector<float>>;

/// Parameters that the mask and cache policies of layers I, I + period, … bring.
template <class P, std::size_t I>
struct LayerPolicyParameters {
    [[no_unique_address]] LoadedParameters<typename detail::LayerSlots<P, I>::Attention::mask> mask;  ///< none for most
    [[no_unique_address]] LoadedParameters<typename detail::LayerSlots<P, I>::KvCache> kv_cache;      ///< none for most
};

/// A model's parameters: the decoder's, the tower's where the Dims has one, and those that its policies P bring.
template <class P>
class ModelParameters {
    template <std::size_t... I>
    static auto by_layer(std::index_sequence<I...>) -> std::tuple<std::vector<LayerPolicyParameters<P, I>>...>;

  public:
    /// The decoder's.
    text::Parameters<weights::WeightMatrix, std::vector<float>, LoadedParameters<typename P::Text::Ffn>> text;
    vision::Parameters<weights::WeightMatrix, std::vector<float>> vision;  ///< the tower's; empty without one
    decltype(by_layer(
        std::make_index_sequence<detail::layer_period<P>>{})) layers;  ///< by member of the period, then layer / period
    LoadedParameters<typename P::Text::Position> position;             ///< of Learned and the like
    LoadedParameters<typename P::Text::Depth> depth;                   ///< of a depth policy
    LoadedParameters<typename P::Text::TokenReduction> token_reduction;  ///< of a token-reduction policy
    LoadedParameters<typename P::Vision::Resolution> resolution;         ///< of a resolution policy
    LoadedParameters<typename P::Fusion> fusion;                         ///< of a fusion policy
    LoadedParameters<typename P::Alignment> alignment;                   ///< of an alignment policy

    /// Parameters of the mask and cache of layer `i`, which has the policies of member I of the period.
    template <std::size_t I>
    const LayerPolicyParameters<P, I>& layer(std::size_t i) const {
        return std::get<I>(layers)[i / detail::layer_period<P>];
    }
};

/// Calls f(name, shape, vector) or f(name, shape, matrix, placement) for every parameter of a model of Dims D, in the
/// order of the forward pass. The parameters of its policies P follow: f(name, shape, vector or matrix, OfPolicy).
/// Sizes all lists.
template <Dims D, class P, class F>
void visit_parameters(ModelParameters<P>& p, F&& f) {
    constexpr ModelDims dims = model_dims<D>();
    const auto layers = static_cast<std::size_t>(D::text.layers);
    p.text.layers.resize(layers);
    std::apply(
        [&](auto&... by_layer) {
            (by_layer.resize((layers + detail::layer_period<P> - 1) / detail::layer_period<P>), ...);
        },
        p.layers);
    if constexpr (VisionLanguageDims<D>) {
        p.vision.blocks.resize(static_cast<std::size_t>(D::vision.depth));
        p.vision.deepstack.resize(static_cast<std::size_t>(D::vision.deepstack_count));
        vision::visit<P::Vision::Norm::has_bias>(D::vision, "model.visual.", p.vision, f);
    }
    text::visit<P::Text::Norm::has_bias, typename P::Text::Ffn>(
        D::text, VisionLanguageDims<D> ? "model.language_model." : "model.", p.text, f);
    const auto of_policy = [&](const std::string& name, const Shape& shape, auto& parameter,
                               int layer = OfPolicy::no_layer) { f(name, shape, parameter, OfPolicy{layer}); };
    visit_parameters_of<typename P::Text::Position>(dims, p.position, of_policy);
    for (std::size_t i = 0; i < layers; ++i)
        detail::with_layer_slots<P>(i, [&](auto index) {
            using S = detail::LayerSlots<P, index()>;
            auto& layer = std::get<index()>(p.layers)[i / detail::layer_period<P>];
            const auto visit = [&](const std::string& name, const Shape& shape, auto& parameter) {
                of_policy("layers." + std::to_string(i) + "." + name, shape, parameter, static_cast<int>(i));
            };
            visit_parameters_of<typename S::Attention::mask>(D::text, layer.mask, visit);
            visit_parameters_of<typename S::KvCache>(D::text, layer.kv_cache, visit);
        });
    visit_parameters_of<typename P::Text::Depth>(dims, p.depth, of_policy);
    visit_parameters_of<typename P::Text::TokenReduction>(dims, p.token_reduction, of_policy);
    visit_parameters_of<typename P::Vision::Resolution>(dims, p.resolution, of_policy);
    visit_parameters_of<typename P::Fusion>(dims, p.fusion, of_policy);
    visit_parameters_of<typename P::Alignment>(dims, p.alignment, of_policy);
}

namespace detail {
/// f(policy's type, dims, its parameters) for each policy beside masks, and for each layer that it serves.
template <Dims D, class P, class F>
void for_each_policy(ModelParameters<P>& p, F&& f) {
    constexpr ModelDims dims = model_dims<D>();
    for (std::size_t i = 0; i < p.text.layers.size(); ++i)
        with_layer_slots<P>(i, [&](auto index) {
            auto& layer = std::get<index()>(p.layers)[i / layer_period<P>];
            f(type_tag<typename P::Text::Ffn>{}, D::text, p.text.layers[i].ffn);
            f(type_tag<typename LayerSlots<P, index()>::KvCache>{}, D::text, layer.kv_cache);
        });
    f(type_tag<typename P::Text::Position>{}, dims, p.position);
    f(type_tag<typename P::Text::Depth>{}, dims, p.depth);
    f(type_tag<typename P::Text::TokenReduction>{}, dims, p.token_reduction);
    f(type_tag<typename P::Vision::Resolution>{}, dims, p.resolution);
    f(type_tag<typename P::Fusion>{}, dims, p.fusion);
    f(type_tag<typename P::Alignment>{}, dims, p.alignment);
}
}  // namespace detail

/// Lets policies make what they need of their parameters, once a model: Policy::prepare(dims, parameters).
template <Dims D, class P>
void prepare_parameters(ModelParameters<P>& p) {
    detail::for_each_policy<D>(p, []<class Policy>(type_tag<Policy>, const auto& dims, auto& parameters) {
        if constexpr (requires { Policy::prepare(dims, parameters); }) Policy::prepare(dims, parameters);
    });
}
/// Bytes that prepare_parameters() takes: Policy::prepared_bytes(dims) of each.
template <Dims D, class P>
std::int64_t prepared_bytes() {
    ModelParameters<P> none;
    visit_parameters<D>(none, [](const std::string&, const Shape&, auto&, auto...) {});
    std::int64_t bytes = 0;
    detail::for_each_policy<D>(none, [&]<class Policy>(type_tag<Policy>, const auto& dims, auto&) {
        if constexpr (requires { Policy::prepared_bytes(dims); }) bytes += Policy::prepared_bytes(dims);
    });
    return bytes;
}

/// Calls f(name, shape) for every parameter of a model.
template <Dims D, class P = Policies<>, class F>
void for_each_parameter(F&& f) {
    ModelParameters<P> none;
    visit_parameters<D>(none, [&](const std::string& name, const Shape& shape, auto&, auto...) { f(name, shape); });
}

}  // namespace qwen3vl
