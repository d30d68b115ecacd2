// expect: qwen3vl: slot attention: the decoder needs a causal mask
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny,
                   q::Policies<>::with_text<q::TextPolicies<>::with_attention<q::attention::Flash<q::mask::Full>>>>;
auto plan = M::memory_plan();
