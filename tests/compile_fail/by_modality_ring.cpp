// expect: qwen3vl: slot kv_cache: a ring forgets keys that the mask still shows
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Text =
    q::TextPolicies<>::with_attention<q::attention::WithinModality>::with_kv_cache<q::kv_cache::Ring<q::Tokens{4096}>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<Text>>;
auto plan = M::memory_plan();
