// expect: qwen3vl: slot mask: SlidingWindow needs tokens > 0
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto span = q::mask::SlidingWindow<q::Window{}>::span;
