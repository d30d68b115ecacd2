// expect: qwen3vl: slot arch: the policy does not model concepts::Arch
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_arch<int>>;
auto plan = M::memory_plan();
