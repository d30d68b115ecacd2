// expect: qwen3vl: dims: vision.deepstack_count exceeds
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Broken : q::models::Tiny {
    static constexpr q::VisionDims vision = [] {
        q::VisionDims d = q::models::Tiny::vision;
        d.deepstack_count = 5;
        return d;
    }();
};
using M = q::Model<Broken>;
auto plan = M::memory_plan();
