// expect: qwen3vl: slot attention: Offloaded keys come in segments, which this algorithm does not take
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Text = q::TextPolicies<>::with_kv_cache<q::kv_cache::Offloaded<>>::with_attention<q::attention::Dense<>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<Text>>;
auto plan = M::memory_plan();
