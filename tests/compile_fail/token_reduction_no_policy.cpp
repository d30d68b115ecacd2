// expect: qwen3vl: slot token_reduction: the policy does not model concepts::TokenReduction
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_token_reduction<int>>>;
auto plan = M::memory_plan();
