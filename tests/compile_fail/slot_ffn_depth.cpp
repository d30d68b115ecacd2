// expect: qwen3vl: slot ffn: the policy lacks its name
// expect: qwen3vl: slot ffn: the policy lacks preserves_capacity
// expect: qwen3vl: slot depth: the policy lacks preserves_capacity
// expect: qwen3vl: slot depth: the policy lacks runs(layer, layers)
// expect: qwen3vl: slot depth: the policy lacks after_layer<Weights>(pass, layer, before), for it compares rows
// errors: 5
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_ffn<P>>>;
template <class P>
using WithDepth = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_depth<P>>>;
struct NoAfterLayer : q::depth::AllLayers {
    static constexpr bool compares_rows = true;
};
using M0 = With<int>;
using M1 = With<q::activation::SwiGLU>;
using M2 = WithDepth<q::norm::RMSNorm>;
using M3 = WithDepth<q::ffn::Gated>;
using M4 = WithDepth<NoAfterLayer>;
