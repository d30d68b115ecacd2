#pragma once
#include <functional>
#include <numeric>
#include <optional>
#include <qwen3vl/text/parameters.hpp>
#include <qwen3vl/vision/parameters.hpp>
#include <string>
#include <type_traits>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A model's parameters: the decoder's and, where the Dims has a tower, the tower's.
template <class M, class V>
struct ModelParameters {
    text::Parameters<M, V> text;
    vision::Parameters<M, V> vision;
};

/// f(name, shape, vector) or f(name, shape, matrix, part) for every parameter of a model of Dims D, in the order of the forward pass. P is
/// ModelParameters<…>; where it is not const, the lists of layers are sized first.
template <Dims D, bool TextNormBias, bool VisionNormBias, class P, class F>
void visit_parameters(P& p, F&& f) {
    if constexpr (!std::is_const_v<P>) {
        p.text.layers.resize(static_cast<std::size_t>(D::text.layers));
        if constexpr (VisionLanguageDims<D>) {
            p.vision.blocks.resize(static_cast<std::size_t>(D::vision.depth));
            p.vision.deepstack.resize(static_cast<std::size_t>(D::vision.deepstack_count));
        }
    }
    if constexpr (VisionLanguageDims<D>) vision::visit<VisionNormBias>(D::vision, "model.visual.", p.vision, f);
    text::visit<TextNormBias>(D::text, VisionLanguageDims<D> ? "model.language_model." : "model.", p.text, f);
}

/// What a checkpoint holds of a parameter.
struct ParameterSpec {
    std::string name;
    Shape shape;
    std::optional<Part> part;  ///< where it has a weight format

    std::int64_t rows() const { return shape[0]; }
    std::int64_t cols() const { return std::accumulate(shape.begin() + 1, shape.end(), std::int64_t{1}, std::multiplies<>()); }
};

/// Every tensor that a checkpoint of Dims D holds under the default policies, in the order of the forward pass.
template <Dims D>
[[gnu::noinline]] std::vector<ParameterSpec> parameter_specs() {
    struct Nothing {};
    ModelParameters<Nothing, Nothing> none;
    std::vector<ParameterSpec> specs;
    visit_parameters<D, false, true>(none, [&](const std::string& name, const Shape& shape, Nothing&, std::optional<Part> part = {}) {
        specs.push_back({name, shape, part});
    });
    return specs;
}

/// f(name, shape) for each of them.
template <Dims D, class F>
void for_each_parameter(F&& f) {
    for (const auto& p : parameter_specs<D>()) f(p.name, p.shape);
}

/// f(name, rows, cols, part) for those of them that have a weight format.
template <Dims D, class F>
void for_each_matrix(F&& f) {
    for (const auto& p : parameter_specs<D>())
        if (p.part) f(p.name, p.rows(), p.cols(), *p.part);
}

}  // namespace qwen3vl
