// expect: qwen3vl: slot activation: the tower's feed-forward layers are not gated
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M =
    q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_activation<q::activation::SwiGLU>>>;
auto plan = M::memory_plan();
