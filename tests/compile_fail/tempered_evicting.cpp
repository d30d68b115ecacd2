// expect: qwen3vl: slot kv_cache: Evicting chooses what is seen
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Mask = q::mask::Tempered<q::Temperatures{.language_to_vision = 2}>;
using Text =
    q::TextPolicies<>::with_attention<q::attention::Flash<Mask>>::with_kv_cache<q::kv_cache::Evicting<q::Tokens{1024}>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<Text>>;
auto plan = M::memory_plan();
