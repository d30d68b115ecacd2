// expect: qwen3vl: slot kv_cache: the policy does not model concepts::KvCache
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<int>>>;
auto plan = M::memory_plan();
