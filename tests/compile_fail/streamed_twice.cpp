// expect: qwen3vl: slot weights: Streamed keeps the packed form of a format, and this one has none
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Twice = q::weights::Streamed<q::weights::Streamed<q::weights::Bf16>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_weights<Twice>>>;
auto plan = M::memory_plan();
