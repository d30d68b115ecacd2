// expect: qwen3vl: slot weights: Streamed reads nothing ahead into a window of one layer
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto name = q::weights::Streamed<q::weights::Bf16, q::Resident{.layers = 1}>::name;
