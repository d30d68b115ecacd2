// expect: qwen3vl: slot kv_cache: these Dims have no vision, so that ByModality has nothing to keep apart
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Text = q::TextPolicies<>::with_kv_cache<q::kv_cache::ByModality<>>;
using M = q::Model<q::models::Plain, q::Policies<>::with_text<Text>>;
auto plan = M::memory_plan();
