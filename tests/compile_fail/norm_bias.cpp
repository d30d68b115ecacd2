// expect: qwen3vl: slot norm: the q/k norms of these Dims have no bias
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_norm<q::norm::LayerNorm>>>;
auto plan = M::memory_plan();
