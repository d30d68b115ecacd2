#pragma once
#include <qwen3vl/core/config.hpp>

/// Tags of the slots, for `with<slot::…, Policy>`.
namespace qwen3vl::inline QWEN3VL_ABI::slot {
// the decoder's and the tower's
struct attention;
struct norm;
struct activation;
struct position;
struct weights;
// the decoder's
struct kv_cache;
struct embedding_weights;
struct ffn;
struct depth;
struct token_reduction;
// the tower's
struct merger_activation;
struct resolution;
// the whole model's
struct text;
struct vision;
struct fusion;
struct alignment;
struct execution;
struct memory;
struct arch;
}  // namespace qwen3vl::slot
