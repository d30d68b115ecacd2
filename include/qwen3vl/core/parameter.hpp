#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <type_traits>
#include <vector>

/// Parameters of a model: their extents, and those that a policy brings.
namespace qwen3vl::inline QWEN3VL_ABI {

/// Extents of a parameter, outermost first.
using Shape = std::vector<std::int64_t>;

/// A norm's parameters; the bias is empty where the norm has none.
template <class V>
struct NormParameters {
    V weight{}, bias{};  ///< [n], [n] or empty
};

/// Calls f(name, shape, parameter) for the one or two parameters of a norm over n channels.
template <bool HasBias, class Norm, class F>
void visit_norm(Norm& norm, const std::string& name, std::int64_t n, F& f) {
    f(name + ".weight", Shape{n}, norm.weight);
    if constexpr (HasBias) f(name + ".bias", Shape{n}, norm.bias);
}

/// Placement of a policy's parameter: always in memory, or with the weights of decoder layer `layer`. A matrix of a
/// layer is streamed, or moved between tiers, with it.
struct OfPolicy {
    static constexpr int no_layer = -1;  ///< always in memory
    int layer = no_layer;                ///< decoder layer whose weights it lies with
};

/// Parameters of a policy that brings none.
struct NoParameters {};

namespace detail {
struct AnyParameter {};
template <class P, class M, class V>
struct policy_parameters {
    using type = NoParameters;
};
template <class P, class M, class V>
requires requires { typename P::template Parameters<M, V>; }
struct policy_parameters<P, M, V> {
    using type = typename P::template Parameters<M, V>;
};
}  // namespace detail

/// A policy's parameters, with M for a matrix that has a weight format and V for a vector of float32:
/// P::Parameters<M, V>, or NoParameters.
///
/// A policy that brings some also has visit_parameters(dims, parameters, f), which calls f(name, shape, member) for
/// each, in one order. For a matrix that is used in a decoder layer alone it calls f(name, shape, member, layer).
/// `dims` are TextDims, or ModelDims for a policy that is the whole model's; lists are sized before they are visited,
/// where `parameters` is not const. Names are the policy's own: a policy that layers have puts none of the layer before
/// them, the model does. Files that hold them are named in LoadOptions::parameters.
template <class P, class M, class V>
using parameters_of = typename detail::policy_parameters<P, M, V>::type;

/// Policies that bring parameters of their own.
template <class P>
concept BringsParameters = requires {
    typename P::template Parameters<detail::AnyParameter, detail::AnyParameter>;
};

/// Calls P::visit_parameters, where the policy brings parameters.
template <class P, class Dims, class Parameters, class F>
void visit_parameters_of([[maybe_unused]] const Dims& dims, [[maybe_unused]] Parameters& parameters,
                         [[maybe_unused]] F&& f) {
    if constexpr (BringsParameters<P>) P::visit_parameters(dims, parameters, f);
}

}  // namespace qwen3vl
