// expect: qwen3vl: dims: a field of `text` is zero
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Broken : q::models::Tiny {
    static constexpr q::TextDims text = [] {
        q::TextDims d = q::models::Tiny::text;
        d.kv_heads = 0;
        return d;
    }();
};
using M = q::Model<Broken>;
auto plan = M::memory_plan();
