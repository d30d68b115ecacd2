// expect: qwen3vl: slot fusion: Dynamic within Dynamic
#include <qwen3vl/fusion/fusion.hpp>

namespace q = qwen3vl;
using Inner = q::fusion::Gated<q::fusion::Dynamic<q::fusion::DeepStack, q::fusion::CrossAttention<>>>;
static_assert(q::fusion::Dynamic<q::fusion::DeepStack, Inner>::chooses_pictures);
