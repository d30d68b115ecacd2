// expect: qwen3vl: slot mask: Tempered is over a mask that has temperatures already
#include <qwen3vl/mask/tempered.hpp>

namespace q = qwen3vl;
using Once = q::mask::Tempered<q::Temperatures{.language_to_vision = 2}>;
static_assert(q::mask::Tempered<q::Temperatures{.vision_to_language = 2}, Once>::causal);
