// expect: qwen3vl: slot kv_cache: a ring has overwritten what rewind() would go back to
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using Text = q::TextPolicies<>::with_kv_cache<q::kv_cache::Ring<q::Tokens{128}>>::with_attention<
    q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 64}>>>;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<Text>>;
void f(q::Session<M>& session) { session.rewind(3); }
