// expect: qwen3vl: slot activation: the policy does not model concepts::Activation
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_activation<int>>>;
auto plan = M::memory_plan();
