// expect: qwen3vl: slot text: the policy is no TextPolicies
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::VisionPolicies<>>>;
auto plan = M::memory_plan();
