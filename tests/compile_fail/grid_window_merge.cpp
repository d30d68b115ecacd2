// expect: qwen3vl: slot attention: a window of GridWindow cuts a block of patches that become one token
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Odd = q::attention::Flash<q::mask::GridWindow<q::PatchWindow{.rows = 8, .cols = 7}>>;
using Plan = q::Layers<q::Pattern<Odd, q::attention::Flash<q::mask::Full>>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_attention<Plan>>>;
auto plan = M::memory_plan();
