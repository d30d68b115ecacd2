// expect: qwen3vl: slot norm: hidden by a using in the bundle
// expect: choose it by with_norm<>
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Hidden : q::VisionPolicies<> {
    using Norm = q::norm::RMSNorm;
};
using M = q::Model<q::models::Tiny, q::Policies<>::with_vision<Hidden>>;
auto plan = M::memory_plan();
