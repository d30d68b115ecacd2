// expect: qwen3vl: slot fusion: CrossAttention takes an algorithm over mask::Full
// expect: qwen3vl: slot fusion: CrossLayers has every > 0 and first >= 0
// expect: qwen3vl: slot fusion: pictures::Outside keeps at least one visual token
// expect: qwen3vl: slot fusion: Bilinear has a Rank above 0
// errors: 4
#include <qwen3vl/fusion/fusion.hpp>
#include <qwen3vl/mask/causal.hpp>

namespace q = qwen3vl;
namespace f = q::fusion;
auto masked = f::CrossAttention<f::pictures::Inside<>, f::CrossLayers{}, q::attention::Flash<q::mask::Causal>>::name;
auto plan = f::CrossAttention<f::pictures::Inside<>, f::CrossLayers{.every = 0}>::name;
auto none = f::pictures::Outside<q::Tokens{0}>::stand_in;
auto rank = f::Bilinear<q::Rank{0}>::rank;
