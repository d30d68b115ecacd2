// expect: qwen3vl: slot vision: the policy is no VisionPolicies
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::TextPolicies<>>>;
auto plan = M::memory_plan();
