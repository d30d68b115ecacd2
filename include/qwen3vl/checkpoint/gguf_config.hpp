#pragma once
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <qwen3vl/checkpoint/gguf.hpp>
#include <qwen3vl/checkpoint/hf_config.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Translates the metadata of a GGUF model and of its vision part to the fields of a config.json, so that one check
/// serves both. Keys: ggml docs/gguf.md; llama.cpp gguf-py/gguf/constants.py. Errors of that check name the GGUF file
/// and key.
class GgufConfig {
  public:
    /// `vision` is null where the model has no vision part. Throws ConfigError where a key has the wrong type, or asks
    /// for something that the library does not support.
    static HfConfig translate(const GgufFile& model, const GgufFile* vision) {
        GgufConfig c(model, vision);
        c.model_type();
        c.text();
        if (vision) c.vision();
        c.tokens();
        return HfConfig::translated(std::move(c.json_), model.path(), std::move(c.origins_));
    }

    /// True if the architecture has a vision part in a file of its own.
    static bool wants_vision(const GgufFile& model) {
        return model.metadata().string("general.architecture") == "qwen3vl";
    }

    /// The vision blocks whose output DeepStack takes.
    static std::vector<int> deepstack(const GgufFile& vision) {
        std::vector<int> blocks;
        const auto flags =
            vision.metadata().booleans("clip.vision.is_deepstack_layers", most_layers).value_or(std::vector<bool>());
        for (std::size_t i = 0; i < flags.size(); ++i)
            if (flags[i]) blocks.push_back(static_cast<int>(i));
        return blocks;
    }

    /// The id of the control token with exactly this text, by the file's list of tokens.
    static std::optional<std::int64_t> control_token(const GgufMetadata& m, std::string_view text) {
        const auto tokens = m.strings("tokenizer.ggml.tokens", most_tokens);
        const auto types = m.integers("tokenizer.ggml.token_type", most_tokens);
        if (!tokens || !types) return std::nullopt;
        for (std::size_t i = 0; i < tokens->size() && i < types->size(); ++i)
            if ((*tokens)[i] == text && (*types)[i] == control) return static_cast<std::int64_t>(i);
        return std::nullopt;
    }

    /// Most entries of an array that are read, by layer and by token.
    static constexpr std::uint64_t most_layers = 1024, most_tokens = std::uint64_t{1} << 22;
    static constexpr std::int64_t control = 3;  ///< tokenizer.ggml.token_type of a control token

  private:
    GgufConfig(const GgufFile& model, const GgufFile* vision) : model_(model), vision_(vision), m_(model.metadata()) {}

    /// Sets a field, whose value may be absent, and remembers the key that it came from.
    template <class T>
    void put(const std::string& path, const GgufFile& file, const std::string& key, const std::optional<T>& value) {
        origins_[path] = {file.path(), key};
        if (!value) return;
        nlohmann::json* at = &json_;
        std::size_t begin = 0;
        for (std::size_t dot; (dot = path.find('.', begin)) != std::string::npos; begin = dot + 1)
            at = &(*at)[path.substr(begin, dot - begin)];
        (*at)[path.substr(begin)] = *value;
    }
    static void refuse_unless(const GgufMetadata& m, const std::string& key, bool fine, const std::string& expected,
                              const std::string& found) {
        if (!fine) m.fail(key, expected, found);
    }

    void model_type() {
        static const std::map<std::string_view, std::string> types = {
            {"qwen3vl", "qwen3_vl"}, {"qwen3", "qwen3"}, {"llama", "llama"}};
        const std::string key = "general.architecture";
        const auto found = m_.string(key);
        if (!found) m_.fail(key, "qwen3vl, qwen3 or llama", "nothing");
        refuse_unless(m_, key, *found != "clip", "a model",
                      "a vision part: name the model's GGUF file, and this one as its mmproj");
        const auto type = types.find(*found);
        if (type == types.end())
            m_.fail(key, "qwen3vl, qwen3 or llama",
                    "'" + std::string(found->substr(0, 60)) + "', which is not supported");
        put<std::string>("model_type", model_, key, type->second);
        arch_ = std::string(*found) + ".";
        if (wants_vision(model_)) at_ = "text_config.";
    }

    void text_integer(const char* field, const char* key) {
        put(at_ + field, model_, arch_ + key, m_.integer(arch_ + key));
    }
    void text_number(const char* field, const char* key) {
        put(at_ + field, model_, arch_ + key, m_.number(arch_ + key));
    }

    void text() {
        text_integer("num_hidden_layers", "block_count");
        text_integer("num_attention_heads", "attention.head_count");
        text_integer("num_key_value_heads", "attention.head_count_kv");
        text_integer("hidden_size", "embedding_length");
        text_integer("intermediate_size", "feed_forward_length");
        text_integer("max_position_embeddings", "context_length");
        text_number("rms_norm_eps", "attention.layer_norm_rms_epsilon");
        text_number("rope_theta", "rope.freq_base");
        head_dim();
        rope();
        const GgufMetadata::Values& all = m_.values();
        const TensorView* table = model_.find("token_embd.weight");
        const auto rows = table ? std::optional(table->shape.front()) : std::nullopt;
        put(at_ + "vocab_size", model_, arch_ + "vocab_size",
            all.contains(arch_ + "vocab_size") ? m_.integer(arch_ + "vocab_size") : rows);
        put(at_ + "tie_word_embeddings", model_, "output.weight",
            std::optional(model_.find("output.weight") == nullptr));
        put(at_ + "attention_bias", model_, "blk.0.attn_q.bias",
            std::optional(model_.find("blk.0.attn_q.bias") != nullptr));
        put(at_ + "mlp_bias", model_, "blk.0.ffn_up.bias", std::optional(model_.find("blk.0.ffn_up.bias") != nullptr));
        put(at_ + "use_sliding_window", model_, arch_ + "attention.sliding_window",
            std::optional(m_.integer(arch_ + "attention.sliding_window").value_or(0) != 0));
        const auto experts = m_.integer(arch_ + "expert_count").value_or(0);
        refuse_unless(m_, arch_ + "expert_count", experts == 0, "0",
                      std::to_string(experts) + ": a mixture of experts, which is not supported");
    }

    void head_dim() {
        const auto key = m_.integer(arch_ + "attention.key_length"),
                   value = m_.integer(arch_ + "attention.value_length");
        const auto heads = m_.integer(arch_ + "attention.head_count"), hidden = m_.integer(arch_ + "embedding_length");
        const auto shared = heads && hidden && *heads > 0 ? std::optional(*hidden / *heads) : std::nullopt;
        const auto used = key ? key : shared;
        put(at_ + "head_dim", model_, arch_ + "attention.key_length", used);
        if (used && value && *value != *used)
            m_.fail(arch_ + "attention.value_length", std::to_string(*used) + ", the keys' length",
                    std::to_string(*value));
        const auto turned = m_.integer(arch_ + "rope.dimension_count");
        if (used && turned && *turned != *used)
            m_.fail(arch_ + "rope.dimension_count", std::to_string(*used) + ", all of a head", std::to_string(*turned));
    }

    void rope() {
        const std::string scaling = arch_ + "rope.scaling.type", sections = arch_ + "rope.dimension_sections",
                          rope = at_ + "rope_scaling.";
        const auto type = m_.string(scaling);
        put(rope + "rope_type", model_, scaling,
            type && *type != "none" ? std::optional(std::string(*type)) : std::nullopt);
        const auto factor = m_.number(arch_ + "rope.scale_linear");
        if (factor && *factor != 1.0) m_.fail(arch_ + "rope.scale_linear", "1", detail::show(*factor));
        if (const TensorView* factors = model_.find("rope_freqs.weight"))
            throw LoadError(std::string(factors->file), "rope_freqs.weight", "rotary frequencies without factors",
                            "a tensor of factors");
        auto section = m_.integers(sections, 4);  // time, height, width, and a fourth that this family leaves empty
        if (section && section->size() == 4) {
            if (section->back() != 0) m_.fail(sections, "three sections and a 0", shape_text(*section));
            section->pop_back();
        }
        put(rope + "mrope_section", model_, sections, section);
    }

    /// The tower's extents; those that have no key are told by the tensors.
    void vision() {
        const GgufMetadata& v = vision_->metadata();
        const auto text_of = [&](const std::string& key) {
            return std::string(v.string(key).value_or("nothing").substr(0, 60));
        };
        refuse_unless(v, "general.architecture", text_of("general.architecture") == "clip", "clip, a vision part",
                      text_of("general.architecture"));
        refuse_unless(v, "clip.projector_type", text_of("clip.projector_type") == "qwen3vl_merger", "qwen3vl_merger",
                      text_of("clip.projector_type"));
        const auto field = [&](const char* name, const std::string& key) {
            put(std::string("vision_config.") + name, *vision_, "clip.vision." + key, v.integer("clip.vision." + key));
        };
        field("depth", "block_count");
        field("hidden_size", "embedding_length");
        field("num_heads", "attention.head_count");
        field("intermediate_size", "feed_forward_length");
        field("out_hidden_size", "projection_dim");
        field("patch_size", "patch_size");
        field("spatial_merge_size", "spatial_merge_size");
        if (const TensorView* positions = vision_->find("v.position_embd.weight"))
            put("vision_config.num_position_embeddings", *vision_, "v.position_embd.weight",
                std::optional(positions->shape.front()));
        if (const TensorView* slice = vision_->find("v.patch_embd.weight"); slice && slice->shape.size() == 4) {
            put("vision_config.in_channels", *vision_, "v.patch_embd.weight", std::optional(slice->shape[1]));
            put("vision_config.temporal_patch_size", *vision_, "v.patch_embd.weight",
                std::optional(vision_->find("v.patch_embd.weight.1") ? 2 : 1));
        }
        const bool tanh_gelu = v.boolean("clip.use_gelu").value_or(false);
        put("vision_config.hidden_act", *vision_, "clip.use_gelu",
            std::optional(std::string(tanh_gelu ? "gelu_pytorch_tanh" : "another")));
        put("vision_config.deepstack_visual_indexes", *vision_, "clip.vision.is_deepstack_layers",
            std::optional(deepstack(*vision_)));
        const double eps = v.number("clip.vision.attention.layer_norm_epsilon").value_or(1e-6);
        refuse_unless(v, "clip.vision.attention.layer_norm_epsilon", eps == 1e-6, "1e-6", detail::show(eps));
        const std::string count = arch_ + "n_deepstack_layers";
        const auto levels = m_.integer(count).value_or(0);
        const auto found = static_cast<std::int64_t>(deepstack(*vision_).size());
        refuse_unless(m_, count, levels == found, std::to_string(found) + " as in " + vision_->path(),
                      std::to_string(levels));
    }

    void tokens() {
        put(at_ + "eos_token_id", model_, "tokenizer.ggml.eos_token_id", m_.integer("tokenizer.ggml.eos_token_id"));
        if (!vision_) return;
        for (const auto& [field, text] : {std::pair{"image_token_id", "<|image_pad|>"},
                                          {"video_token_id", "<|video_pad|>"},
                                          {"vision_start_token_id", "<|vision_start|>"},
                                          {"vision_end_token_id", "<|vision_end|>"}}) {
            const auto id = control_token(m_, text);
            if (!id) m_.fail("tokenizer.ggml.tokens", std::string("a control token ") + text, "none");
            put(field, model_, "tokenizer.ggml.tokens", id);
        }
    }

    const GgufFile& model_;
    const GgufFile* vision_;
    const GgufMetadata& m_;
    std::string arch_, at_;  // what keys of the decoder begin with, and the fields they become
    nlohmann::json json_ = nlohmann::json::object();
    json_reader::FieldOrigins origins_;
};

}  // namespace qwen3vl::checkpoint
