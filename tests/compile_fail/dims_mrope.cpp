// expect: qwen3vl: dims: text.mrope_section does not add up
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Broken : q::models::Tiny {
    static constexpr q::TextDims text = [] {
        q::TextDims d = q::models::Tiny::text;
        d.mrope_section = {6, 5, 4};
        return d;
    }();
};
using M = q::Model<Broken>;
auto plan = M::memory_plan();
