// expect: qwen3vl: slot attention: the vision policy does not model
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_attention<int>>>;
auto plan = M::memory_plan();
