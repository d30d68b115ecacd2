// expect: qwen3vl: slot mask: BidirectionalPictures is over a causal mask that answers by itself
#include <qwen3vl/mask/mask.hpp>

namespace q = qwen3vl;
static_assert(q::mask::BidirectionalPictures<q::mask::DynamicSparse<>>::causal);
