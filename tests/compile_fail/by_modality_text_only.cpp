// expect: qwen3vl: slot attention: these Dims have no vision, so that a mask by modality has nothing to tell apart
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Text = q::TextPolicies<>::with_attention<q::attention::WithinModality>;
using M = q::Model<q::models::Plain, q::Policies<>::with_text<Text>>;
auto plan = M::memory_plan();
