#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/json/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// A token id field that is an integer or a list of them; empty where absent. Throws ConfigError.
inline std::vector<int> token_ids(const json_reader::JsonObject& o, const std::string& key) {
    const auto* v = o.find(key);
    if (!v) return {};
    const auto list = v->is_array() ? *o.integers(key) : std::vector{*o.integer(key)};
    std::vector<int> ids;
    for (const auto id : list) {
        if (id < 0 || id > std::numeric_limits<int>::max())
            o.fail(key, "token ids from 0 to 2^31 - 1", std::to_string(id));
        ids.push_back(static_cast<int>(id));
    }
    return ids;
}

/// A checkpoint's config.json, or a GGUF file's metadata translated to one. It is that of a vision-language model
/// (text_config and vision_config inside) or of a text-only one (flat).
class HfConfig {
  public:
    /// Reads folder/config.json. Throws FileError where it cannot be read, ConfigError where it is malformed.
    static HfConfig open(const std::string& folder) {
        const std::string path = folder + "/config.json";
        return parse(read_file(path, limit), path);
    }
    /// `file` is the name that errors state.
    static HfConfig parse(std::string_view text, const std::string& file) {
        return HfConfig(json_reader::parse_json(text, file, limit), file, {});
    }
    /// A config made from the fields of other files, which errors name instead.
    static HfConfig translated(nlohmann::json json, std::string file, json_reader::FieldOrigins origins) {
        return HfConfig(std::move(json), std::move(file), std::move(origins));
    }

    /// Path, or the name that errors state.
    const std::string& file() const { return file_; }
    /// All fields as they stand.
    const nlohmann::json& json() const { return json_; }
    /// All fields, for typed access.
    json_reader::JsonObject root() const { return {json_, file_, "", &origins_}; }
    /// The decoder's fields: text_config, or in a text-only config the whole of it.
    json_reader::JsonObject text() const {
        const json_reader::JsonObject all = root();
        return all.object("text_config").value_or(all);
    }
    /// "qwen3_vl", "llama", …; throws ConfigError where it is absent.
    std::string model_type() const {
        const auto type = root().string("model_type");
        if (!type) root().fail("model_type", "a string such as \"qwen3_vl\" or \"llama\"", "nothing");
        return *type;
    }
    /// The tokens that end a generation where there is no generation_config.json; empty where the field is absent.
    std::vector<int> eos() const {
        auto ids = token_ids(text(), "eos_token_id");
        return ids.empty() ? token_ids(root(), "eos_token_id") : ids;
    }

  private:
    static constexpr std::size_t limit = std::size_t{1} << 20;
    HfConfig(nlohmann::json json, std::string file, json_reader::FieldOrigins origins)
        : json_(std::move(json)), file_(std::move(file)), origins_(std::move(origins)) {
        root();
    }
    nlohmann::json json_;
    std::string file_;
    json_reader::FieldOrigins origins_;
};

namespace detail {

inline std::string show(std::int64_t v) { return std::to_string(v); }
inline std::string show(double v) { return nlohmann::json(v).dump(); }
inline std::string show(bool v) { return v ? "true" : "false"; }
inline std::string show(const std::string& v) { return json_reader::JsonObject::text_of(v); }
inline std::string show(const std::vector<std::int64_t>& v) { return shape_text(v); }

/// Throws ConfigError unless the value found, or where the field is absent its default, is the one expected.
template <class T>
void expect(const json_reader::JsonObject& o, const std::string& key, const std::type_identity_t<T>& expected,
            const std::optional<T>& found, const std::type_identity_t<std::optional<T>>& absent = std::nullopt) {
    if (!found && !absent) o.fail(key, show(expected), "nothing");
    if (!found && *absent != expected) o.fail(key, show(expected), "nothing, which stands for " + show(*absent));
    if (found && *found != expected) o.fail(key, show(expected), show(*found));
}

/// Defaults of a decoder's class in transformers for fields that config.json lacks; nullopt: the field is required.
struct TextDefaults {
    std::optional<std::int64_t> kv_heads = {}, head_dim = {}, max_positions = {};
    std::optional<double> rope_theta = {};
};

/// Checks both spellings of the rotary embedding: rope_scaling beside rope_theta (as released) and rope_parameters
/// (transformers 5).
inline void check_rope(const json_reader::JsonObject& t, const TextDims& d, const TextDefaults& defaults) {
    const std::vector<std::int64_t> section(d.mrope_section.begin(), d.mrope_section.end());
    bool theta_given = false, section_given = false;
    const auto check_theta = [&](const json_reader::JsonObject& o) {
        const auto theta = o.number("rope_theta");
        if (theta) expect(o, "rope_theta", d.rope_theta, theta);
        theta_given |= theta.has_value();
    };
    check_theta(t);
    expect(t, "partial_rotary_factor", 1.0, t.number("partial_rotary_factor"), 1.0);
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
        const auto rope = t.object(key);
        if (!rope) continue;
        check_theta(*rope);
        for (const char* type : {"rope_type", "type"}) expect(*rope, type, "default", rope->string(type), "default");
        expect(*rope, "partial_rotary_factor", 1.0, rope->number("partial_rotary_factor"), 1.0);
        if (const auto found = rope->integers("mrope_section")) {
            expect(*rope, "mrope_section", section, found);
            section_given = true;
        }
        expect(*rope, "mrope_interleaved", true, rope->boolean("mrope_interleaved"), true);
    }
    if (!theta_given) expect(t, "rope_theta", d.rope_theta, std::optional<double>(), defaults.rope_theta);
    if (!section_given && d.multimodal_rope()) t.fail("rope_scaling.mrope_section", show(section), "nothing");
}

/// Checks tie_word_embeddings, which stands in the decoder's part, outside of it, or in both.
inline void check_tied(const json_reader::JsonObject& root, const json_reader::JsonObject& t, const TextDims& d) {
    const auto inner = t.boolean("tie_word_embeddings"), outer = root.boolean("tie_word_embeddings");
    if (outer) expect(root, "tie_word_embeddings", d.tied, outer);
    if (inner || !outer) expect(t, "tie_word_embeddings", d.tied, inner, false);
}

inline void check_text(const json_reader::JsonObject& root, const json_reader::JsonObject& t, const TextDims& d,
                       const TextDefaults& defaults) {
    expect(t, "num_hidden_layers", d.layers, t.integer("num_hidden_layers"));
    expect(t, "num_attention_heads", d.heads, t.integer("num_attention_heads"));
    expect(t, "num_key_value_heads", d.kv_heads, t.integer("num_key_value_heads"), defaults.kv_heads);
    expect(t, "hidden_size", d.hidden, t.integer("hidden_size"));
    expect(t, "head_dim", d.head_dim, t.integer("head_dim"), defaults.head_dim);
    expect(t, "intermediate_size", d.ffn, t.integer("intermediate_size"));
    expect(t, "vocab_size", d.vocab, t.integer("vocab_size"));
    expect(t, "max_position_embeddings", d.max_positions, t.integer("max_position_embeddings"), defaults.max_positions);
    expect(t, "rms_norm_eps", d.norm_eps, t.number("rms_norm_eps"), 1e-6);
    expect(t, "hidden_act", "silu", t.string("hidden_act"), "silu");
    expect(t, "attention_bias", false, t.boolean("attention_bias"), false);
    expect(t, "mlp_bias", false, t.boolean("mlp_bias"), false);
    expect(t, "use_sliding_window", false, t.boolean("use_sliding_window"), false);
    check_rope(t, d, defaults);
    check_tied(root, t, d);
}

inline void check_vision(const json_reader::JsonObject& v, const VisionDims& d) {
    if (const auto type = v.string("model_type"); type && *type != "qwen3_vl" && *type != "qwen3_vl_vision")
        v.fail("model_type", "\"qwen3_vl\"", show(*type));
    expect(v, "depth", d.depth, v.integer("depth"));
    expect(v, "hidden_size", d.hidden, v.integer("hidden_size"));
    expect(v, "num_heads", d.heads, v.integer("num_heads"));
    expect(v, "intermediate_size", d.ffn, v.integer("intermediate_size"));
    expect(v, "out_hidden_size", d.out, v.integer("out_hidden_size"));
    expect(v, "num_position_embeddings", d.positions, v.integer("num_position_embeddings"), 2304);
    expect(v, "patch_size", d.patch, v.integer("patch_size"), 16);
    expect(v, "temporal_patch_size", d.temporal_patch, v.integer("temporal_patch_size"), 2);
    expect(v, "spatial_merge_size", d.merge, v.integer("spatial_merge_size"), 2);
    expect(v, "in_channels", d.channels, v.integer("in_channels"), 3);
    expect(v, "hidden_act", "gelu_pytorch_tanh", v.string("hidden_act"), "gelu_pytorch_tanh");
    const std::vector<std::int64_t> deepstack(d.deepstack.begin(), d.deepstack.begin() + d.deepstack_count);
    expect(v, "deepstack_visual_indexes", deepstack, v.integers("deepstack_visual_indexes"),
           std::vector<std::int64_t>{8, 16, 24});
    const auto rope = v.object("rope_parameters");
    if (!rope) {
        expect(v, "rope_parameters.rope_theta", d.rope_theta, std::optional<double>(), 10000.0);
        return;
    }
    expect(*rope, "rope_theta", d.rope_theta, rope->number("rope_theta"), 10000.0);
    if (const auto type = rope->string("rope_type"); type && *type != "default")
        expect(*rope, "rope_type", "axial", type);
}

inline void check_tokens(const json_reader::JsonObject& root, const TokenIds& ids) {
    expect(root, "image_token_id", ids.image, root.integer("image_token_id"), 151655);
    expect(root, "video_token_id", ids.video, root.integer("video_token_id"), 151656);
    expect(root, "vision_start_token_id", ids.vision_start, root.integer("vision_start_token_id"), 151652);
    expect(root, "vision_end_token_id", ids.vision_end, root.integer("vision_end_token_id"), 151653);
}

/// Throws ConfigError unless model_type is the one expected; says more of families that look alike.
inline void check_model_type(const HfConfig& config, const std::string& expected) {
    static const std::map<std::string, std::string> known = {
        {"qwen3_vl_moe", "a mixture of experts, which is not supported"},
        {"qwen3_moe", "a mixture of experts, which is not supported"},
        {"qwen2_vl", "an older architecture, which is not supported"},
        {"qwen2_5_vl", "an older architecture, which is not supported"},
        {"qwen2", "whose attention has biases, which is not supported"},
        {"qwen3_vl", "a vision-language model: choose Dims with `vision` and `tokens`"},
        {"llama", "a text-only model without q/k norm"},
        {"qwen3", "a text-only model with q/k norm"},
    };
    const std::string found = config.model_type();
    if (found == expected) return;
    const auto note = known.find(found);
    config.root().fail("model_type", show(expected),
                       show(found) + (note == known.end() ? "" : " (" + note->second + ")"));
}

/// `vision` and `tokens` are null where the model has none.
void check_dims(const HfConfig& config, const TextDims& text, const VisionDims* vision, const TokenIds* tokens);

#if QWEN3VL_DEFINES_SUPPORT
QWEN3VL_SUPPORT void check_dims(const HfConfig& config, const TextDims& text, const VisionDims* vision,
                                const TokenIds* tokens) {
    const json_reader::JsonObject root = config.root();
    if (vision) {
        check_model_type(config, "qwen3_vl");
        const auto of_text = root.object("text_config"), of_vision = root.object("vision_config");
        if (!of_text) root.fail("text_config", "an object", "nothing");
        if (!of_vision) root.fail("vision_config", "an object", "nothing");
        expect(*of_text, "model_type", "qwen3_vl_text", of_text->string("model_type"), "qwen3_vl_text");
        check_text(root, *of_text, text, {.head_dim = 128, .max_positions = 128000});
        check_vision(*of_vision, *vision);
        check_tokens(root, *tokens);
    } else if (text.qk_norm) {
        check_model_type(config, "qwen3");
        check_text(root, root, text, {.head_dim = 128, .max_positions = 32768, .rope_theta = 10000.0});
    } else {
        check_model_type(config, "llama");
        check_text(root, root, text,
                   {.kv_heads = text.heads,
                    .head_dim = text.hidden / text.heads,
                    .max_positions = 2048,
                    .rope_theta = 10000.0});
    }
}
#endif

}  // namespace detail

/// Checks config.json field by field against the type. An absent field stands for transformers' default of its class.
/// One without a sensible default has to be there: the extents, and Qwen3-VL's rope_theta, of which versions differ.
/// model_type alone ("qwen3" or "llama") tells if q and k are normalised. The tower's norm_eps has no field; the
/// reference fixes it at 1e-6. Throws ConfigError naming file, field, expected and found.
template <Dims D>
void check_config(const HfConfig& config) {
    if constexpr (VisionLanguageDims<D>)
        detail::check_dims(config, D::text, &D::vision, &D::tokens);
    else
        detail::check_dims(config, D::text, nullptr, nullptr);
}

/// True if config.json describes Dims D; where not, `why` gets the message of the first difference.
template <Dims D>
bool matches(const HfConfig& config, std::string* why = nullptr) {
    try {
        check_config<D>(config);
        return true;
    } catch (const ConfigError& e) {
        if (why) *why = e.what();
        return false;
    }
}

}  // namespace qwen3vl::checkpoint
