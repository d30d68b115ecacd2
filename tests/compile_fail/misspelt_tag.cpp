// expect: atention
// errors: several
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using Text = q::TextPolicies<>::with<q::slot::atention, q::attention::Dense<>>;
