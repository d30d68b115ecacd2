// expect: qwen3vl: slot mask: DynamicSparse needs a block of a divisor or a multiple of 64 keys
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto block = q::mask::DynamicSparse<q::BlockBudget{.block = 96}>::block;
