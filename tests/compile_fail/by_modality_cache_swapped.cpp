// expect: qwen3vl: slot kv_cache: ByModality has the larger codec for visual tokens
#include <qwen3vl/kv_cache/kv_cache.hpp>

namespace q = qwen3vl;
static_assert(q::kv_cache::ByModality<q::kv_cache::Int4, q::kv_cache::Bf16>::can_rewind);
