// expect: qwen3vl: slot fusion: the policy lacks its name
// expect: qwen3vl: slot fusion: the policy lacks embed<Weights>(pass)
// expect: qwen3vl: slot alignment: the policy lacks align<Weights>(ops, dims, parameters, features)
// expect: qwen3vl: slot token_reduction: the policy lacks reduce<Weights>(ops, dims, parameters, features)
// expect: qwen3vl: slot resolution: the policy lacks budget(configured)
// errors: 5
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_fusion<P>>;
template <class P>
using WithAlignment = q::Model<q::models::Tiny, q::Policies<>::with_alignment<P>>;
template <class P>
using WithReduction = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_token_reduction<P>>>;
template <class P>
using WithResolution = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_resolution<P>>>;
using M0 = With<int>;
using M1 = With<q::alignment::None>;
using M2 = WithAlignment<q::fusion::DeepStack>;
using M3 = WithReduction<q::alignment::None>;
using M4 = WithResolution<q::depth::AllLayers>;
