// expect: qwen3vl: slot mask: Tempered needs temperatures above 0
#include <qwen3vl/mask/tempered.hpp>

namespace q = qwen3vl;
static_assert(q::mask::Tempered<q::Temperatures{.vision_to_language = 0}>::causal);
