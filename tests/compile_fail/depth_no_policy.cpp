// expect: qwen3vl: slot depth: the policy does not model concepts::Depth
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_depth<int>>>;
auto plan = M::memory_plan();
