// expect: qwen3vl: slot memory: the policy does not model concepts::Memory
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_memory<int>>;
auto plan = M::memory_plan();
