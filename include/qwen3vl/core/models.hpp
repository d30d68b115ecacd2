#pragma once
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/list.hpp>

/// The shipped Dims types. Each has a `name`, by which programs choose it.
namespace qwen3vl::inline QWEN3VL_ABI::models {

/// Qwen3-VL-2B-Instruct and -Thinking.
struct Qwen3VL_2B {
    static constexpr const char* name = "Qwen3VL_2B";
    static constexpr TextDims text{.layers = 28,
                                   .heads = 16,
                                   .kv_heads = 8,
                                   .head_dim = 128,
                                   .hidden = 2048,
                                   .ffn = 6144,
                                   .vocab = 151936,
                                   .max_positions = 262144,
                                   .rope_theta = 5e6,
                                   .mrope_section = {24, 20, 20}};
    static constexpr VisionDims vision{.depth = 24,
                                       .hidden = 1024,
                                       .heads = 16,
                                       .ffn = 4096,
                                       .out = 2048,
                                       .positions = 2304,
                                       .deepstack_count = 3,
                                       .deepstack = {5, 11, 17}};
    static constexpr TokenIds tokens{.image = 151655, .video = 151656, .vision_start = 151652, .vision_end = 151653};
};

/// Qwen3-VL-4B-Instruct and -Thinking.
struct Qwen3VL_4B : Qwen3VL_2B {
    static constexpr const char* name = "Qwen3VL_4B";
    static constexpr TextDims text{.layers = 36,
                                   .heads = 32,
                                   .kv_heads = 8,
                                   .head_dim = 128,
                                   .hidden = 2560,
                                   .ffn = 9728,
                                   .vocab = 151936,
                                   .max_positions = 262144,
                                   .rope_theta = 5e6,
                                   .mrope_section = {24, 20, 20}};
    static constexpr VisionDims vision{.depth = 24,
                                       .hidden = 1024,
                                       .heads = 16,
                                       .ffn = 4096,
                                       .out = 2560,
                                       .positions = 2304,
                                       .deepstack_count = 3,
                                       .deepstack = {5, 11, 17}};
};

/// Qwen3-VL-8B-Instruct and -Thinking: an untied head and the wider tower.
struct Qwen3VL_8B : Qwen3VL_2B {
    static constexpr const char* name = "Qwen3VL_8B";
    static constexpr TextDims text{.layers = 36,
                                   .heads = 32,
                                   .kv_heads = 8,
                                   .head_dim = 128,
                                   .hidden = 4096,
                                   .ffn = 12288,
                                   .vocab = 151936,
                                   .max_positions = 262144,
                                   .rope_theta = 5e6,
                                   .tied = false,
                                   .mrope_section = {24, 20, 20}};
    static constexpr VisionDims vision{.depth = 27,
                                       .hidden = 1152,
                                       .heads = 16,
                                       .ffn = 4304,
                                       .out = 4096,
                                       .positions = 2304,
                                       .deepstack_count = 3,
                                       .deepstack = {8, 16, 24}};
};

/// The full-capacity form: 32 layers of 32 query and 32 key/value heads under the 8B's tower.
struct Qwen3VL_32x32 : Qwen3VL_8B {
    static constexpr const char* name = "Qwen3VL_32x32";
    static constexpr TextDims text{.layers = 32,
                                   .heads = 32,
                                   .kv_heads = 32,
                                   .head_dim = 128,
                                   .hidden = 4096,
                                   .ffn = 22016,
                                   .vocab = 151936,
                                   .max_positions = 262144,
                                   .rope_theta = 5e6,
                                   .tied = false,
                                   .mrope_section = {24, 20, 20}};
};

/// The small trained model in examples/models/shapes.
struct Shapes {
    static constexpr const char* name = "Shapes";
    static constexpr TextDims text{.layers = 6,
                                   .heads = 6,
                                   .kv_heads = 2,
                                   .head_dim = 32,
                                   .hidden = 192,
                                   .ffn = 512,
                                   .vocab = 464,
                                   .max_positions = 4096,
                                   .rope_theta = 1e5,
                                   .mrope_section = {6, 5, 5}};
    static constexpr VisionDims vision{.depth = 5,
                                       .hidden = 96,
                                       .heads = 3,
                                       .ffn = 256,
                                       .out = 192,
                                       .positions = 144,
                                       .deepstack_count = 3,
                                       .deepstack = {1, 2, 3}};
    static constexpr TokenIds tokens{.image = 447, .video = 448, .vision_start = 444, .vision_end = 445};
};

/// SmolLM2-135M and -135M-Instruct: a text-only decoder of the Llama family.
struct SmolLM2_135M {
    static constexpr const char* name = "SmolLM2_135M";
    static constexpr TextDims text{.layers = 30,
                                   .heads = 9,
                                   .kv_heads = 3,
                                   .head_dim = 64,
                                   .hidden = 576,
                                   .ffn = 1536,
                                   .vocab = 49152,
                                   .max_positions = 8192,
                                   .rope_theta = 1e5,
                                   .norm_eps = 1e-5,
                                   .qk_norm = false};
};

/// Every shipped Dims: feeds the tests, `make_synthetic` and the programs' name look-up.
using all = list<Qwen3VL_2B, Qwen3VL_4B, Qwen3VL_8B, Qwen3VL_32x32, Shapes, SmolLM2_135M>;

}  // namespace qwen3vl::models
