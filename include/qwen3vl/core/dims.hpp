#pragma once
#include <array>
#include <concepts>
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Extents and constants of a decoder. Field names on the right are config.json's.
struct TextDims {
    int layers = 0;               ///< num_hidden_layers
    int heads = 0;                ///< num_attention_heads
    int kv_heads = 0;             ///< num_key_value_heads; == heads is MHA, 1 is MQA, between them GQA
    int head_dim = 0;             ///< head_dim
    int hidden = 0;               ///< hidden_size
    int ffn = 0;                  ///< intermediate_size
    int vocab = 0;                ///< vocab_size
    int max_positions = 0;        ///< max_position_embeddings
    double rope_theta = 10000.0;  ///< rope_theta
    double norm_eps = 1e-6;       ///< rms_norm_eps
    bool tied = true;             ///< tie_word_embeddings: the head is the embedding table
    bool qk_norm = true;          ///< RMS norm over each query and key head (Qwen3); no config field, the tensors tell
    std::array<int, 3> mrope_section = {0, 0, 0};  ///< mrope_section (t, h, w); all zero: plain RoPE

    /// Columns of the queries of all heads.
    constexpr int q_dim() const { return heads * head_dim; }
    /// Columns of the keys, or of the values, of all heads.
    constexpr int kv_dim() const { return kv_heads * head_dim; }
    /// Query heads that share a key/value head.
    constexpr int group() const { return heads / kv_heads; }
    /// True if tokens turn by time, row and column (M-RoPE).
    constexpr bool multimodal_rope() const { return mrope_section[0] + mrope_section[1] + mrope_section[2] > 0; }
    /// Counts the parameters, norms included; a tied embedding counts once.
    constexpr std::int64_t parameter_count() const {
        const std::int64_t h = hidden;
        const std::int64_t attention = h * q_dim() + 2 * h * kv_dim() + q_dim() * h + (qk_norm ? 2 * head_dim : 0);
        const std::int64_t layer = attention + 3 * h * ffn + 2 * h;
        return layers * layer + h + (tied ? 1 : 2) * h * std::int64_t{vocab};
    }
};

/// Extents and constants of the vision tower.
struct VisionDims {
    int depth = 0;                ///< depth
    int hidden = 0;               ///< hidden_size
    int heads = 0;                ///< num_heads
    int ffn = 0;                  ///< intermediate_size
    int out = 0;                  ///< out_hidden_size, the decoder's hidden size
    int positions = 0;            ///< num_position_embeddings, the square of the table's side
    int patch = 16;               ///< patch_size
    int temporal_patch = 2;       ///< temporal_patch_size
    int merge = 2;                ///< spatial_merge_size
    int channels = 3;             ///< in_channels
    double rope_theta = 10000.0;  ///< rope_parameters.rope_theta; 10000 where the file has none
    double norm_eps = 1e-6;       ///< of the LayerNorms; not in config.json
    int deepstack_count = 0;      ///< entries of `deepstack` in use; 0: no DeepStack
    std::array<int, 4> deepstack =
        {};  ///< deepstack_visual_indexes: blocks whose output is merged and added after decoder layers 0, 1, …

    /// Channels of a head.
    constexpr int head_dim() const { return hidden / heads; }
    /// Values of a patch: channels * temporal_patch * patch * patch.
    constexpr int patch_values() const { return channels * temporal_patch * patch * patch; }
    /// Columns of merge x merge patches side by side, which a merger reads.
    constexpr int merged() const { return hidden * merge * merge; }
    /// Side of the square table of position embeddings.
    constexpr int side() const {
        int s = 0;
        while ((s + 1) * (s + 1) <= positions) ++s;
        return s;
    }
    /// Counts the parameters, norms and biases included.
    constexpr std::int64_t parameter_count() const {
        const std::int64_t h = hidden, m = merged();
        const std::int64_t block = 4 * h * h + 4 * h + 2 * h * ffn + ffn + h + 4 * h;
        const std::int64_t merger = m * m + m + m * out + out;
        return h * patch_values() + h + h * std::int64_t{positions} + depth * block + merger + 2 * h +
               deepstack_count * (merger + 2 * m);
    }
};

/// Ids of the tokens that stand for pictures and clips; config.json's *_token_id.
struct TokenIds {
    int image = -1, video = -1, vision_start = -1, vision_end = -1;  ///< -1: the model has none
};

/// A model's extents as a type: `text`, and for a vision-language model `vision` and `tokens`.
/// A variant derives from a shipped one and hides a member by its own.
template <class D>
concept Dims = requires {
    { D::text } -> std::convertible_to<TextDims>;
};

/// Extents of a model with a vision tower, and the ids of its pictures' tokens.
template <class D>
concept VisionLanguageDims = Dims<D> && requires {
    { D::vision } -> std::convertible_to<VisionDims>;
    { D::tokens } -> std::convertible_to<TokenIds>;
};

/// A model's extents as values; `vision` is all zero where it has no tower.
struct ModelDims {
    TextDims text;      ///< the decoder's
    VisionDims vision;  ///< the vision tower's
};
/// Gives the extents of a type as values.
template <Dims D>
constexpr ModelDims model_dims() {
    if constexpr (VisionLanguageDims<D>)
        return {D::text, D::vision};
    else
        return {D::text, {}};
}

/// True if the tower hands intermediate features to the decoder (DeepStack).
template <Dims D>
constexpr bool has_deepstack() {
    if constexpr (VisionLanguageDims<D>)
        return D::vision.deepstack_count > 0;
    else
        return false;
}

/// Parameters of the whole model, tied tables counted once.
template <Dims D>
constexpr std::int64_t parameter_count() {
    if constexpr (VisionLanguageDims<D>)
        return D::text.parameter_count() + D::vision.parameter_count();
    else
        return D::text.parameter_count();
}

}  // namespace qwen3vl
