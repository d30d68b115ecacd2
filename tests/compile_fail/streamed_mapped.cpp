// expect: qwen3vl: slot weights: Streamed keeps the packed form of a format, and this one has none
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_weights<
                                        q::weights::Streamed<q::weights::Mapped<q::weights::Bf16>>>>>;
auto plan = M::memory_plan();
