#pragma once
#include <qwen3vl/text/parameters.hpp>
#include <qwen3vl/vision/parameters.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A model's parameters: the decoder's and, where the Dims has a tower, the tower's.
template <class M, class V>
struct ModelParameters {
    text::Parameters<M, V> text;
    vision::Parameters<M, V> vision;
};

/// f(name, shape, vector) or f(name, shape, matrix, part) for every parameter of a model of Dims D, in the
/// order of the forward pass; sizes the lists of layers first.
template <Dims D, bool TextNormBias, bool VisionNormBias, class M, class V, class F>
void visit_parameters(ModelParameters<M, V>& p, F&& f) {
    p.text.layers.resize(static_cast<std::size_t>(D::text.layers));
    if constexpr (VisionLanguageDims<D>) {
        p.vision.blocks.resize(static_cast<std::size_t>(D::vision.depth));
        p.vision.deepstack.resize(static_cast<std::size_t>(D::vision.deepstack_count));
        vision::visit<VisionNormBias>(D::vision, "model.visual.", p.vision, f);
        text::visit<TextNormBias>(D::text, "model.language_model.", p.text, f);
    } else {
        text::visit<TextNormBias>(D::text, "model.", p.text, f);
    }
}

/// f(name, shape) for every tensor that a checkpoint of Dims D holds under the default policies: names and shapes without weights.
template <Dims D, class F>
void for_each_parameter(F&& f) {
    struct Nothing {};
    ModelParameters<Nothing, Nothing> none;
    visit_parameters<D, false, true>(none, [&](const std::string& name, const Shape& shape, Nothing&, auto... /*part*/) { f(name, shape); });
}

/// f(name, rows, cols, part) for those of them that have a weight format.
template <Dims D, class F>
void for_each_matrix(F&& f) {
    struct Nothing {};
    ModelParameters<Nothing, Nothing> none;
    visit_parameters<D, false, true>(none, [&]<class... P>(const std::string& name, const Shape& shape, Nothing&, P... part) {
        std::int64_t cols = 1;
        for (std::size_t i = 1; i < shape.size(); ++i) cols *= shape[i];
        (f(name, shape[0], cols, part), ...);
    });
}

}  // namespace qwen3vl
