// expect: qwen3vl: slot ffn: the policy does not model concepts::Ffn
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_ffn<int>>>;
auto plan = M::memory_plan();
