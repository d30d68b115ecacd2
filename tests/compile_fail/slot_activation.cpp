// expect: qwen3vl: slot activation: the policy lacks its name
// expect: qwen3vl: slot activation: the policy lacks gated
// expect: qwen3vl: slot activation: the policy lacks row<Arch>(x, n, out), or row<Arch>(gate, up, n, out) where gated
// expect: qwen3vl: slot activation of vision: the policy lacks gated
// expect: qwen3vl: slot merger_activation: the policy lacks its name
// errors: 5
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_activation<P>>>;
template <class P>
using WithVision = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_activation<P>>>;
template <class P>
using WithMerger =
    q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_merger_activation<P>>>;
struct OneInput {
    static constexpr const char* name = "OneInput";
    static constexpr bool gated = true;
    template <class Arch>
    static void row(const float* x, std::int64_t n, float* out);
};
using M0 = With<int>;
using M1 = With<q::norm::RMSNorm>;
using M2 = With<OneInput>;
using M3 = WithVision<q::norm::LayerNorm>;
using M4 = WithMerger<int>;
