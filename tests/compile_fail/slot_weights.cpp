// expect: qwen3vl: slot weights: the policy lacks its name
// expect: qwen3vl: slot weights: the policy lacks its operations, a specialisation of weights::traits
// expect: qwen3vl: slot embedding_weights: the policy lacks its operations
// expect: qwen3vl: slot weights of vision: the policy lacks its operations
// errors: 4
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_weights<P>>>;
template <class P>
using WithVision = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_weights<P>>>;
template <class P>
using WithEmbedding = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_embedding_weights<P>>>;
using M0 = With<int>;
using M1 = With<q::norm::RMSNorm>;
using M2 = WithEmbedding<q::kv_cache::Int8>;
using M3 = WithVision<q::kv_cache::Bf16>;
