// expect: qwen3vl: slot mask: GridWindow needs rows > 0 and cols > 0
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny,
                   q::Policies<>::with_vision<q::VisionPolicies<>::with_attention<q::attention::Flash<q::mask::GridWindow<q::PatchWindow{.rows = 0}>>>>>;
auto plan = M::memory_plan();
