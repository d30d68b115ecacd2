// expect: qwen3vl: slot position: the policy does not model concepts::TextPosition
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_position<int>>>;
auto plan = M::memory_plan();
