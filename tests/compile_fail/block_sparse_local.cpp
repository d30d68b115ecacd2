// expect: qwen3vl: slot mask: BlockSparse needs block > 0 and local > 0
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto block = q::mask::BlockSparse<q::BlockPattern{.local = 0}>::block;
