// expect: qwen3vl: slot execution: hidden by a using in the bundle
// expect: choose it by with_execution<>
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Hidden : q::Policies<> {
    using Execution = q::execution::Serial;
};
using M = q::Model<q::models::Tiny, Hidden>;
auto plan = M::memory_plan();
