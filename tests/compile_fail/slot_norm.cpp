// expect: qwen3vl: slot norm: the policy lacks its name
// expect: qwen3vl: slot norm: the policy lacks has_bias
// expect: qwen3vl: slot norm: the policy lacks row<Arch>(x, weight, bias, epsilon, n, out)
// expect: qwen3vl: slot norm of vision: the policy lacks has_bias
// errors: 4
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_norm<P>>>;
template <class P>
using WithVision = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_norm<P>>>;
struct NoRow {
    static constexpr const char* name = "NoRow";
    static constexpr bool has_bias = false;
    template <class Arch>
    static void row(const float* x, float* out);
};
using M0 = With<int>;
using M1 = With<q::activation::SwiGLU>;
using M2 = With<NoRow>;
using M3 = WithVision<q::mask::Full>;
