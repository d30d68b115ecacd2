// expect: qwen3vl: slot kv_cache: attention::Linear and kv_cache::Recurrent go together
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M =
    q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_attention<q::attention::Linear<>>>>;
auto plan = M::memory_plan();
