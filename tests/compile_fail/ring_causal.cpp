// expect: qwen3vl: slot kv_cache: a ring forgets keys that the mask still shows
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny,
                   q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<q::kv_cache::Ring<q::Tokens{256}>>>>;
auto plan = M::memory_plan();
