// expect: qwen3vl: policies: the model's second argument is no Policies
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::TextPolicies<>>;
auto plan = M::memory_plan();
