// expect: qwen3vl: dims: text.head_dim is odd
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Broken : q::models::Tiny {
    static constexpr q::TextDims text = [] {
        q::TextDims d = q::models::Tiny::text;
        d.head_dim = 31;
        d.mrope_section = {0, 0, 0};
        return d;
    }();
};
using M = q::Model<Broken>;
auto plan = M::memory_plan();
