// expect: qwen3vl: Layers: the pattern is empty
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto period = q::plan<q::Layers<q::Pattern<>>>::period;
