// expect: qwen3vl: slot kv_cache: a ring forgets keys that the mask still shows
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny,
                   q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<q::kv_cache::Ring<q::Tokens{256}>>>>;
void f() {
    const M model = M::load("folder");
    q::Session<M> session(model, {.context = 100});
    auto features = q::encode(session.workspace(), {});
    session.append(q::Prompt{{1, 2, 3}, {features}});
    session.append(4);
    session.rewind(2);
    auto best = session.logits()[0];
    (void)best;
}
