// expect: qwen3vl: slot kv_cache: TruncatedRank keeps the first numbers of a row alone
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Leading = q::kv_cache::TruncatedRank<q::Rank{16}>;
using Text = q::TextPolicies<>::with_kv_cache<q::kv_cache::ByModality<q::kv_cache::Bf16, Leading>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<Text>>;
auto plan = M::memory_plan();
