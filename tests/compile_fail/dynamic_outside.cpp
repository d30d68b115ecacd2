// expect: qwen3vl: slot fusion: Dynamic chooses when a picture is encoded
#include <qwen3vl/fusion/fusion.hpp>

namespace q = qwen3vl;
using Outside = q::fusion::CrossAttention<q::fusion::pictures::Outside<>>;
static_assert(q::fusion::Dynamic<q::fusion::DeepStack, Outside>::embeds);
