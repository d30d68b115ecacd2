// expect: qwen3vl: slot kv_cache: CrossLayer is over caches that only writing changes
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<
                                        q::kv_cache::CrossLayer<q::kv_cache::Evicting<q::Tokens{128}>>>>>;
auto plan = M::memory_plan();
