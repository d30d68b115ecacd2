// expect: qwen3vl: slot kv_cache: a page of Paged holds the tokens of all layers
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Plan = q::Layers<q::Pattern<q::kv_cache::Contiguous<>, q::kv_cache::Paged<>>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<Plan>>>;
auto plan = M::memory_plan();
