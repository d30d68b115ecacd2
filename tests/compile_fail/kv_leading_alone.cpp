// expect: qwen3vl: slot kv_cache: TruncatedRank keeps the first numbers of a row alone
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Cache = q::kv_cache::Hybrid<q::Tokens{128}, q::kv_cache::Bf16, q::kv_cache::TruncatedRank<q::Rank{16}>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<Cache>>>;
auto plan = M::memory_plan();
