// expect: qwen3vl: slot kv_cache: LowRank is over Contiguous, Ring or Hybrid
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Evicting = q::kv_cache::Evicting<q::Tokens{128}>;
using M =
    q::Model<q::models::Tiny,
             q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<q::kv_cache::LowRank<q::Rank{16}, Evicting>>>>;
auto plan = M::memory_plan();
