// expect: qwen3vl: dims: the type has no
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
struct Empty {};
using M = q::Model<Empty>;
auto plan = M::memory_plan();
