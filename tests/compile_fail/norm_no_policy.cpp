// expect: qwen3vl: slot norm: the policy does not model concepts::Norm
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_norm<int>>>;
auto plan = M::memory_plan();
