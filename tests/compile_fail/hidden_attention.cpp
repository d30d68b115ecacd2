// expect: qwen3vl: slot attention: hidden by a using in the bundle
// expect: choose it by with_attention<>
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Hidden : q::TextPolicies<> {
    using Attention = q::attention::Dense<>;
};
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<Hidden>>;
auto plan = M::memory_plan();
