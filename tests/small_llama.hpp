#pragma once
#include <qwen3vl/core/dims.hpp>

namespace qwen3vl_test {

/// The Dims of tests/data/gguf/q4_0.gguf and its siblings.
struct SmallLlama {
    static constexpr qwen3vl::TextDims text{.layers = 2,
                                            .heads = 8,
                                            .kv_heads = 2,
                                            .head_dim = 32,
                                            .hidden = 256,
                                            .ffn = 512,
                                            .vocab = 464,
                                            .max_positions = 2048,
                                            .rope_theta = 1e5,
                                            .norm_eps = 1e-5,
                                            .qk_norm = false};
};

}  // namespace qwen3vl_test
