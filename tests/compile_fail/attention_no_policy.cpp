// expect: qwen3vl: slot attention: the policy does not model concepts::Attention
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_attention<q::weights::Bf16>>>;
auto plan = M::memory_plan();
