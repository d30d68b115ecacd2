// expect: with_atention
// errors: several
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using Text = q::TextPolicies<>::with_atention<q::attention::Dense<>>;
