// expect: qwen3vl: slot kv_cache: CrossLayer is one policy for all layers
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<
                                        q::Layers<q::Pattern<q::kv_cache::CrossLayer<>, q::kv_cache::Contiguous<>>>>>>;
auto plan = M::memory_plan();
