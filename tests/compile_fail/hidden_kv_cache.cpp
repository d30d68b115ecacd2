// expect: qwen3vl: slot kv_cache: hidden by a using in the bundle
// expect: choose it by with_kv_cache<>
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
struct Hidden : q::TextPolicies<> {
    using KvCache = q::kv_cache::Contiguous<q::kv_cache::Float32>;
};
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<Hidden>>;
auto plan = M::memory_plan();
