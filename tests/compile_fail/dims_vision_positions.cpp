// expect: qwen3vl: dims: vision.positions is no square
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Broken : q::models::Tiny {
    static constexpr q::VisionDims vision = [] {
        q::VisionDims d = q::models::Tiny::vision;
        d.positions = 63;
        return d;
    }();
};
using M = q::Model<Broken>;
auto plan = M::memory_plan();
