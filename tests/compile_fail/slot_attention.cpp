// expect: qwen3vl: slot attention: the policy lacks its name
// expect: qwen3vl: slot attention: the policy lacks a mask, which models concepts::Mask
// expect: qwen3vl: slot attention: the policy lacks scratch_floats(rows, channels, keys)
// expect: qwen3vl: slot attention: the policy lacks attend<Arch>(queries, visible, tiles, out, scratch)
// expect: qwen3vl: slot attention of vision: the policy lacks a mask
// errors: 5
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_attention<P>>>;
template <class P>
using WithVision = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_attention<P>>>;
struct NoScratch {
    static constexpr const char* name = "NoScratch";
    using mask = q::mask::Causal;
};
struct NoAttend : NoScratch {
    static std::int64_t scratch_floats(std::int64_t, std::int64_t, std::int64_t);
};
using M0 = With<int>;
using M1 = With<q::mask::Causal>;
using M2 = With<NoScratch>;
using M3 = With<NoAttend>;
using M4 = WithVision<q::mask::Full>;
