// expect: qwen3vl: slot execution: the policy does not model concepts::Execution
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_execution<int>>;
auto plan = M::memory_plan();
