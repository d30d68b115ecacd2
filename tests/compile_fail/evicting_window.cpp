// expect: qwen3vl: slot kv_cache: Evicting chooses what is seen
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Window = q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 64}>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_attention<Window>::with_kv_cache<
                                        q::kv_cache::Evicting<q::Tokens{128}>>>>;
auto plan = M::memory_plan();
