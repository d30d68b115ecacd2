#pragma once
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/parameter.hpp>

/// The decoder's parameters, their names in a Hugging Face checkpoint and their shapes. M is a weight matrix, V a vector of floats.
namespace qwen3vl::inline QWEN3VL_ABI::text {

template <class M, class V>
struct LayerParameters {
    NormParameters<V> input_norm, post_norm;
    M q{}, k{}, v{}, o{};    ///< [q_dim, hidden], [kv_dim, hidden] twice, [hidden, q_dim]
    V q_norm{}, k_norm{};    ///< [head_dim]
    M gate{}, up{}, down{};  ///< [ffn, hidden] twice, [hidden, ffn]
};

template <class M, class V>
struct Parameters {
    M embedding{};  ///< [vocab, hidden]
    M head{};       ///< [vocab, hidden], unused where tied
    NormParameters<V> norm;
    std::vector<LayerParameters<M, V>> layers;
};

/// f(name, shape, vector) or f(name, shape, matrix, part) for every parameter of the decoder, in the order of the forward pass. `root` is "model." or, in a
/// vision-language checkpoint, "model.language_model."; the head's name stands outside it. P is Parameters<…>, const or not.
template <bool NormBias, class P, class F>
void visit(const TextDims& d, const std::string& root, P& p, F&& f) {
    const std::int64_t h = d.hidden;
    f(root + "embed_tokens.weight", Shape{d.vocab, h}, p.embedding, Part{Part::embedding});
    for (std::size_t i = 0; i < p.layers.size(); ++i) {
        auto& l = p.layers[i];
        const Part part{Part::layer, static_cast<int>(i)}, ffn{Part::layer, static_cast<int>(i), true};
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
        f(at + "mlp.gate_proj.weight", Shape{d.ffn, h}, l.gate, ffn);
        f(at + "mlp.up_proj.weight", Shape{d.ffn, h}, l.up, ffn);
        f(at + "mlp.down_proj.weight", Shape{h, d.ffn}, l.down, ffn);
    }
    visit_norm<NormBias>(p.norm, root + "norm", h, f);
    if (!d.tied) f("lm_head.weight", Shape{d.vocab, h}, p.head, Part{Part::embedding});
}

}  // namespace qwen3vl::text
