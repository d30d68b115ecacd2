// expect: qwen3vl: slot attention: the mask's block is longer than a stage of Offloaded keys
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Mask = q::mask::DynamicSparse<q::BlockBudget{.block = 2048}>;
using Text = q::TextPolicies<>::with_kv_cache<q::kv_cache::Offloaded<>>::with_attention<q::attention::Flash<Mask>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<Text>>;
auto plan = M::memory_plan();
