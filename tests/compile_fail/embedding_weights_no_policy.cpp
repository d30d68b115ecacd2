// expect: qwen3vl: slot embedding_weights: the policy does not model concepts::WeightFormat
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_embedding_weights<int>>>;
auto plan = M::memory_plan();
