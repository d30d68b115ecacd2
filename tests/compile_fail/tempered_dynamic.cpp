// expect: qwen3vl: slot mask: Tempered is over a causal mask that answers by itself
#include <qwen3vl/mask/mask.hpp>

namespace q = qwen3vl;
using Mask = q::mask::Tempered<q::Temperatures{.language_to_vision = 2}, q::mask::DynamicSparse<>>;
static_assert(Mask::causal);
