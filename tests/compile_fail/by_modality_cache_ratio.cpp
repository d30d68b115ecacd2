// expect: qwen3vl: slot kv_cache: ByModality needs a Compression of a ratio from 1
#include <qwen3vl/kv_cache/kv_cache.hpp>

namespace q = qwen3vl;
using Cache = q::kv_cache::ByModality<q::kv_cache::Bf16, q::kv_cache::Int4, q::Compression{.ratio = 0.5}>;
static_assert(Cache::can_rewind);
