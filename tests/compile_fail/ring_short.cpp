// expect: qwen3vl: slot kv_cache: the ring is shorter than window
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<
    q::models::Tiny,
    q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<q::kv_cache::Ring<q::Tokens{64}>>::with_attention<
        q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 64, .sinks = 4}>>>>>;
auto plan = M::memory_plan();
