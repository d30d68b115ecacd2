// expect: qwen3vl: slot mask: GridWindow needs rows > 0 and cols > 0
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto rows = q::mask::GridWindow<q::PatchWindow{.rows = 0}>::rows;
