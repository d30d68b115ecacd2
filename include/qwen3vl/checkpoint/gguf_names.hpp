#pragma once
#include <algorithm>
#include <charconv>
#include <optional>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Translates between the names of tensors in GGUF files (llama.cpp, gguf-py/gguf/tensor_mapping.py) and in Hugging
/// Face checkpoints.
class GgufNames {
  public:
    /// `text_root` is "model." or, in a vision-language model, "model.language_model.". `deepstack` are the vision
    /// blocks that DeepStack's mergers follow, whose tensors GGUF numbers by block and Hugging Face by order.
    GgufNames(std::string text_root, std::vector<int> deepstack)
        : text_root_(std::move(text_root)), deepstack_(std::move(deepstack)) {}

    /// The Hugging Face name of a GGUF tensor, or nothing where it has none.
    std::optional<std::string> hugging_face(std::string_view name) const {
        for (const Rule& rule : rules) {
            auto number = match(rule.gguf, name);
            if (!number) continue;
            if (rule.gguf.starts_with("v.deepstack.")) {
                const auto at = std::find(deepstack_.begin(), deepstack_.end(), *number);
                if (at == deepstack_.end()) return std::nullopt;
                number = static_cast<int>(at - deepstack_.begin());
            }
            return fill(rooted(rule.hugging_face), *number) + std::string(kind(name));
        }
        return std::nullopt;
    }
    /// The GGUF name of a Hugging Face tensor, or nothing where it has none.
    std::optional<std::string> gguf(std::string_view name) const {
        for (const Rule& rule : rules) {
            auto number = match(rooted(rule.hugging_face), name);
            if (!number) continue;
            if (rule.gguf.starts_with("v.deepstack.")) {
                if (static_cast<std::size_t>(*number) >= deepstack_.size()) return std::nullopt;
                number = deepstack_[static_cast<std::size_t>(*number)];
            }
            return fill(std::string(rule.gguf), *number) + std::string(kind(name));
        }
        return std::nullopt;
    }

  private:
    /// '#' stands for a number, '$' for the text root.
    struct Rule {
        std::string_view gguf, hugging_face;
    };
    static constexpr Rule rules[] = {
        {"token_embd", "$embed_tokens"},
        {"output_norm", "$norm"},
        {"output", "lm_head"},
        {"blk.#.attn_norm", "$layers.#.input_layernorm"},
        {"blk.#.attn_q", "$layers.#.self_attn.q_proj"},
        {"blk.#.attn_k", "$layers.#.self_attn.k_proj"},
        {"blk.#.attn_v", "$layers.#.self_attn.v_proj"},
        {"blk.#.attn_output", "$layers.#.self_attn.o_proj"},
        {"blk.#.attn_q_norm", "$layers.#.self_attn.q_norm"},
        {"blk.#.attn_k_norm", "$layers.#.self_attn.k_norm"},
        {"blk.#.ffn_norm", "$layers.#.post_attention_layernorm"},
        {"blk.#.ffn_gate", "$layers.#.mlp.gate_proj"},
        {"blk.#.ffn_up", "$layers.#.mlp.up_proj"},
        {"blk.#.ffn_down", "$layers.#.mlp.down_proj"},
        {"v.patch_embd", "model.visual.patch_embed.proj"},
        {"v.position_embd", "model.visual.pos_embed"},
        {"v.blk.#.ln1", "model.visual.blocks.#.norm1"},
        {"v.blk.#.attn_qkv", "model.visual.blocks.#.attn.qkv"},
        {"v.blk.#.attn_out", "model.visual.blocks.#.attn.proj"},
        {"v.blk.#.ln2", "model.visual.blocks.#.norm2"},
        {"v.blk.#.ffn_up", "model.visual.blocks.#.mlp.linear_fc1"},
        {"v.blk.#.ffn_down", "model.visual.blocks.#.mlp.linear_fc2"},
        {"v.post_ln", "model.visual.merger.norm"},
        {"mm.0", "model.visual.merger.linear_fc1"},
        {"mm.2", "model.visual.merger.linear_fc2"},
        {"v.deepstack.#.norm", "model.visual.deepstack_merger_list.#.norm"},
        {"v.deepstack.#.fc1", "model.visual.deepstack_merger_list.#.linear_fc1"},
        {"v.deepstack.#.fc2", "model.visual.deepstack_merger_list.#.linear_fc2"},
    };

    /// ".weight" or ".bias" at the end of a name; empty where it has neither.
    static std::string_view kind(std::string_view name) {
        for (const std::string_view k : {".weight", ".bias"})
            if (name.ends_with(k)) return k;
        return {};
    }
    /// The number that stands for '#' where the name, up to its kind, is the pattern's; 0 where the pattern has none.
    static std::optional<int> match(std::string_view pattern, std::string_view name) {
        if (kind(name).empty()) return std::nullopt;
        name.remove_suffix(kind(name).size());
        const auto hash = pattern.find('#');
        if (hash == std::string_view::npos) return pattern == name ? std::optional(0) : std::nullopt;
        const std::string_view before = pattern.substr(0, hash), after = pattern.substr(hash + 1);
        if (name.size() <= before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after))
            return std::nullopt;
        const std::string_view digits = name.substr(before.size(), name.size() - before.size() - after.size());
        int number = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        const bool plain = error == std::errc() && end == digits.data() + digits.size() && number >= 0 &&
                           std::to_string(number) == digits;
        return plain ? std::optional(number) : std::nullopt;
    }
    static std::string fill(std::string pattern, int number) {
        const auto hash = pattern.find('#');
        return hash == std::string::npos ? pattern : pattern.replace(hash, 1, std::to_string(number));
    }
    std::string rooted(std::string_view pattern) const {
        return pattern.starts_with('$') ? text_root_ + std::string(pattern.substr(1)) : std::string(pattern);
    }

    std::string text_root_;
    std::vector<int> deepstack_;
};

}  // namespace qwen3vl::checkpoint
