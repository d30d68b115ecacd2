// expect: qwen3vl: slot attention: the policy lacks a mask, which models concepts::Mask
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M =
    q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with<q::slot::attention, q::weights::Bf16>>>;
auto plan = M::memory_plan();
