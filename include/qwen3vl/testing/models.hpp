#pragma once
#include <qwen3vl/core/models.hpp>

/// The Dims of the golden checkpoints, small models with random weights whose activations were recorded from the
/// reference.
namespace qwen3vl::inline QWEN3VL_ABI::models {

/// A vision-language model in which every extent is uneven.
struct Tiny {
    static constexpr const char* name = "Tiny";
    static constexpr TextDims text{.layers = 4,
                                   .heads = 6,
                                   .kv_heads = 2,
                                   .head_dim = 32,
                                   .hidden = 96,
                                   .ffn = 224,
                                   .vocab = 464,
                                   .max_positions = 4096,
                                   .rope_theta = 1e4,
                                   .mrope_section = {6, 5, 5}};
    static constexpr VisionDims vision{.depth = 4,
                                       .hidden = 72,
                                       .heads = 3,
                                       .ffn = 176,
                                       .out = 96,
                                       .positions = 64,
                                       .deepstack_count = 2,
                                       .deepstack = {0, 2}};
    static constexpr TokenIds tokens{.image = 460, .video = 461, .vision_start = 457, .vision_end = 458};
};

/// A narrow vision-language model that has the counts of the full-capacity form.
struct Tall : Tiny {
    static constexpr const char* name = "Tall";
    static constexpr TextDims text{.layers = 32,
                                   .heads = 32,
                                   .kv_heads = 32,
                                   .head_dim = 8,
                                   .hidden = 64,
                                   .ffn = 96,
                                   .vocab = 464,
                                   .max_positions = 4096,
                                   .rope_theta = 1e4,
                                   .mrope_section = {2, 1, 1}};
    static constexpr VisionDims vision{.depth = 27,
                                       .hidden = 64,
                                       .heads = 16,
                                       .ffn = 80,
                                       .out = 64,
                                       .positions = 36,
                                       .deepstack_count = 3,
                                       .deepstack = {8, 16, 24}};
};

/// A text-only decoder of the Llama family: plain RoPE, no q/k norm.
struct Plain {
    static constexpr const char* name = "Plain";
    static constexpr TextDims text{.layers = 4,
                                   .heads = 9,
                                   .kv_heads = 3,
                                   .head_dim = 8,
                                   .hidden = 72,
                                   .ffn = 160,
                                   .vocab = 464,
                                   .max_positions = 2048,
                                   .rope_theta = 1e5,
                                   .norm_eps = 1e-5,
                                   .qk_norm = false};
};

using golden = list<Tiny, Tall, Plain>;
using shipped_and_golden = concat_t<all, golden>;

}  // namespace qwen3vl::models
