#pragma once
#include <qwen3vl/text/parameters.hpp>
#include <qwen3vl/vision/parameters.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A model's parameters: the decoder's and, where the Dims has a tower, the tower's.
template <class M, class V, class VisionM = M>
struct ModelParameters {
    text::Parameters<M, V> text;
    vision::Parameters<VisionM, V> vision;
};

/// f(name, shape, parameter) for every parameter of a model of Dims D, in the order of the forward pass; sizes the lists of layers first.
template <Dims D, bool TextNormBias, bool VisionNormBias, class M, class V, class VisionM, class F>
void visit_parameters(ModelParameters<M, V, VisionM>& p, F&& f) {
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
    visit_parameters<D, false, true>(none, [&](const std::string& name, const Shape& shape, Nothing&) { f(name, shape); });
}

}  // namespace qwen3vl
