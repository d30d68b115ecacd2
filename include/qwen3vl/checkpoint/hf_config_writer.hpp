#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Fields of config.json beside the Dims.
struct ConfigExtras {
    DType dtype = DType::bf16;    ///< element type of the weights: bf16, f16 or f32
    std::optional<int> bos, eos;  ///< bos_token_id, eos_token_id
};

namespace detail {

inline nlohmann::ordered_json text_config(const TextDims& d, const ConfigExtras& extras) {
    nlohmann::ordered_json t;
    t["attention_bias"] = false;
    t["attention_dropout"] = 0.0;
    if (extras.bos) t["bos_token_id"] = *extras.bos;
    t["dtype"] = extras.dtype == DType::f32 ? "float32" : extras.dtype == DType::f16 ? "float16" : "bfloat16";
    if (extras.eos) t["eos_token_id"] = *extras.eos;
    t["head_dim"] = d.head_dim;
    t["hidden_act"] = "silu";
    t["hidden_size"] = d.hidden;
    t["intermediate_size"] = d.ffn;
    t["max_position_embeddings"] = d.max_positions;
    t["num_attention_heads"] = d.heads;
    t["num_hidden_layers"] = d.layers;
    t["num_key_value_heads"] = d.kv_heads;
    t["rms_norm_eps"] = d.norm_eps;
    if (d.multimodal_rope())
        t["rope_scaling"] = {{"mrope_interleaved", true}, {"mrope_section", d.mrope_section}, {"rope_type", "default"}};
    t["rope_theta"] = d.rope_theta;
    t["tie_word_embeddings"] = d.tied;
    t["use_cache"] = true;
    t["vocab_size"] = d.vocab;
    return t;
}

inline nlohmann::ordered_json vision_config(const VisionDims& d) {
    nlohmann::ordered_json v;
    v["deepstack_visual_indexes"] = std::vector<int>(d.deepstack.begin(), d.deepstack.begin() + d.deepstack_count);
    v["depth"] = d.depth;
    v["hidden_act"] = "gelu_pytorch_tanh";
    v["hidden_size"] = d.hidden;
    v["in_channels"] = d.channels;
    v["intermediate_size"] = d.ffn;
    v["model_type"] = "qwen3_vl";
    v["num_heads"] = d.heads;
    v["num_position_embeddings"] = d.positions;
    v["out_hidden_size"] = d.out;
    v["patch_size"] = d.patch;
    if (d.rope_theta != 10000.0) v["rope_parameters"] = {{"rope_theta", d.rope_theta}, {"rope_type", "axial"}};
    v["spatial_merge_size"] = d.merge;
    v["temporal_patch_size"] = d.temporal_patch;
    return v;
}

}  // namespace detail

/// The config.json of Dims D in the spelling of the released checkpoints, which check_config<D> accepts. For text-only
/// Dims it is flat, and of the family "qwen3" or "llama".
template <Dims D>
std::string config_json(const ConfigExtras& extras = {}) {
    nlohmann::ordered_json text = detail::text_config(D::text, extras), config;
    if constexpr (VisionLanguageDims<D>) {
        text["model_type"] = "qwen3_vl_text";
        config["architectures"] = nlohmann::ordered_json::array({"Qwen3VLForConditionalGeneration"});
        config["image_token_id"] = D::tokens.image;
        config["model_type"] = "qwen3_vl";
        config["text_config"] = text;
        config["tie_word_embeddings"] = D::text.tied;
        config["video_token_id"] = D::tokens.video;
        config["vision_config"] = detail::vision_config(D::vision);
        config["vision_end_token_id"] = D::tokens.vision_end;
        config["vision_start_token_id"] = D::tokens.vision_start;
    } else {
        config["architectures"] =
            nlohmann::ordered_json::array({D::text.qk_norm ? "Qwen3ForCausalLM" : "LlamaForCausalLM"});
        config["model_type"] = D::text.qk_norm ? "qwen3" : "llama";
        config.update(text);
    }
    return config.dump(2) + "\n";
}

}  // namespace qwen3vl::checkpoint
