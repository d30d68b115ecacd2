// expect: qwen3vl: slot fusion: the policy does not model concepts::Fusion
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_fusion<int>>;
auto plan = M::memory_plan();
