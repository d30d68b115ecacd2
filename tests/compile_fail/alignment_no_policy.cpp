// expect: qwen3vl: slot alignment: the policy does not model concepts::Alignment
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_alignment<int>>;
auto plan = M::memory_plan();
