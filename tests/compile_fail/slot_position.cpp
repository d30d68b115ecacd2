// expect: qwen3vl: slot position: the policy lacks its name
// expect: qwen3vl: slot position: the policy lacks multimodal
// expect: qwen3vl: slot position: the policy lacks axis(dims, pair), frequency(dims, pair) or attention_factor()
// expect: qwen3vl: slot position: the policy lacks max_positions(dims)
// expect: qwen3vl: slot position: the policy lacks cos_sin<Arch>(n, cosines, sines)
// expect: qwen3vl: slot position of vision: the policy lacks its name, a rotary or a table
// errors: 6
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_position<P>>>;
template <class P>
using WithVision = q::Model<q::models::Tiny, q::Policies<>::with_vision<q::VisionPolicies<>::with_position<P>>>;
struct NoAxis {
    static constexpr const char* name = "NoAxis";
    static constexpr bool multimodal = true;
};
struct NoLimit : NoAxis {
    static int axis(const q::TextDims&, int);
    static float frequency(const q::TextDims&, int);
    static float attention_factor();
};
struct NoCosines : NoLimit {
    static std::int64_t max_positions(const q::TextDims&);
};
using M0 = With<int>;
using M1 = With<q::position::Grid2D<>>;
using M2 = With<NoAxis>;
using M3 = With<NoLimit>;
using M4 = With<NoCosines>;
using M5 = WithVision<q::position::Rope>;
