// expect: qwen3vl: slot mask: ByModality needs sinks from 0
#include <qwen3vl/mask/by_modality.hpp>

namespace q = qwen3vl;
static_assert(q::mask::ByModality<q::Sees{.sinks = -1}>::causal);
