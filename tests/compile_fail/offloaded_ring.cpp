// expect: qwen3vl: slot kv_cache: Offloaded is over Contiguous, any codec
#include <qwen3vl/kv_cache/kv_cache.hpp>

namespace q = qwen3vl;
auto name = q::kv_cache::Offloaded<q::kv_cache::Ring<q::Tokens{256}>>::name;
