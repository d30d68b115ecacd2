#pragma once
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/memory/role.hpp>

/// The decoder's parameters, their names in a Hugging Face checkpoint and their shapes. M is a weight matrix, V a
/// vector of floats, F the feed-forward policy's Parameters.
namespace qwen3vl::inline QWEN3VL_ABI::text {

/// Parameters of a decoder layer.
template <class M, class V, class F>
struct LayerParameters {
    NormParameters<V> input_norm, post_norm;  ///< before attention; before the feed-forward policy
    M q{}, k{}, v{}, o{};                     ///< [q_dim, hidden], [kv_dim, hidden] twice, [hidden, q_dim]
    V q_norm{}, k_norm{};                     ///< [head_dim]
    [[no_unique_address]] F ffn{};            ///< the feed-forward policy's
};

/// Parameters of the decoder.
template <class M, class V, class F>
struct Parameters {
    M embedding{};                                 ///< [vocab, hidden]
    M head{};                                      ///< [vocab, hidden], unused where tied
    NormParameters<V> norm;                        ///< behind the last layer
    std::vector<LayerParameters<M, V, F>> layers;  ///< in order
};

/// Placement of the embedding's and the head's matrices.
struct InEmbedding {};
/// Placement of a matrix that is used with a decoder layer.
struct InLayer {
    int layer = 0;                                ///< decoder layer
    memory::Pool pool = memory::Pool::attention;  ///< part of the layer
};

/// f(name, shape, vector) or f(name, shape, matrix, placement) for every parameter of the decoder, in the order of the
/// forward pass; the feed-forward policy Ffn visits its own. `root` is "model." or, in a vision-language checkpoint,
/// "model.language_model."; the head's name stands outside it. P is `Parameters<…>`, const or not.
template <bool NormBias, class Ffn, class P, class F>
void visit(const TextDims& d, const std::string& root, P& p, F&& f) {
    const std::int64_t h = d.hidden;
    f(root + "embed_tokens.weight", Shape{d.vocab, h}, p.embedding, InEmbedding{});
    for (std::size_t i = 0; i < p.layers.size(); ++i) {
        auto& l = p.layers[i];
        const InLayer part{static_cast<int>(i)}, of_ffn{static_cast<int>(i), memory::Pool::mlp};
        const std::string at = root + "layers." + std::to_string(i) + ".";
        visit_norm<NormBias>(l.input_norm, at + "input_layernorm", h, f);
        f(at + "self_attn.q_proj.weight", Shape{d.q_dim(), h}, l.q, part);
        f(at + "self_attn.k_proj.weight", Shape{d.kv_dim(), h}, l.k, part);
        f(at + "self_attn.v_proj.weight", Shape{d.kv_dim(), h}, l.v, part);
        f(at + "self_attn.o_proj.weight", Shape{h, d.q_dim()}, l.o, part);
        if (d.qk_norm) {
            f(at + "self_attn.q_norm.weight", Shape{d.head_dim}, l.q_norm);
            f(at + "self_attn.k_norm.weight", Shape{d.head_dim}, l.k_norm);
        }
        visit_norm<NormBias>(l.post_norm, at + "post_attention_layernorm", h, f);
        visit_parameters_of<Ffn>(d, l.ffn, [&](const std::string& name, const Shape& shape, auto& parameter) {
            if constexpr (std::is_same_v<std::remove_cvref_t<decltype(parameter)>,
                                         std::remove_cvref_t<decltype(p.norm.weight)>>)
                f(at + name, shape, parameter);
            else
                f(at + name, shape, parameter, of_ffn);
        });
    }
    visit_norm<NormBias>(p.norm, root + "norm", h, f);
    if (!d.tied) f("lm_head.weight", Shape{d.vocab, h}, p.head, InEmbedding{});
}

}  // namespace qwen3vl::text
