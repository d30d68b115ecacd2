// expect: qwen3vl: slot activation: the decoder's feed-forward layer is gated
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M =
    q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_activation<q::activation::GeluTanh>>>;
auto plan = M::memory_plan();
