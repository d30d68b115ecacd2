// expect: qwen3vl: slot kv_cache: LowRank keeps no rows that a learned router could read
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Routed = q::attention::Flash<q::mask::DynamicSparse<q::BlockBudget{.keep = 4}, q::mask::Router<8>>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_attention<Routed>::with_kv_cache<
                                        q::kv_cache::LowRank<q::Rank{16}>>>>;
auto plan = M::memory_plan();
