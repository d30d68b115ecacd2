// expect: qwen3vl: slot position: these Dims turn heads by time, row and column
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_position<q::position::Rope>>>;
auto plan = M::memory_plan();
