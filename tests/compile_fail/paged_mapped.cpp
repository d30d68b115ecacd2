// expect: qwen3vl: slot weights: Paged keeps the packed form of a format, and this one has none
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_weights<q::weights::Paged<q::weights::Mapped<q::weights::Bf16>>>>>;
auto plan = M::memory_plan();
