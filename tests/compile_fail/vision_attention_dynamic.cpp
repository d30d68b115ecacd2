// expect: qwen3vl: slot attention: patches have no order, so the tower's mask cannot be causal
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<
    q::models::Tiny,
    q::Policies<>::with_vision<q::VisionPolicies<>::with_attention<q::attention::Flash<q::mask::DynamicSparse<>>>>>;
M* model = nullptr;
static_assert(sizeof(M) > 0);
