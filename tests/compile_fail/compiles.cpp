// expect: success
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;

struct Deep : q::models::Tiny {
    static constexpr q::TextDims text = [] {
        q::TextDims d = q::models::Tiny::text;
        d.layers = 8;
        return d;
    }();
};
using Near = q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 64, .sinks = 4}>>;
struct LongDocs
    : q::TextPolicies<>::with_attention<q::Layers<q::Pattern<Near, q::attention::Dense<>>>>::with_kv_cache<
          q::Layers<q::Pattern<q::kv_cache::Ring<q::Tokens{128}>, q::kv_cache::Contiguous<>>>>::with<q::slot::weights,
                                                                                                     q::weights::F16> {
};
using M = q::Model<Deep, q::Policies<>::with_text<LongDocs>::with_execution<q::execution::Serial>>;

float f(const M& model) {
    q::Session<M> session(model, {.context = 100});
    session.append(q::Prompt{{1, 2, 3}, {q::encode(session.workspace(), {})}});
    session.append(4);
    session.reset();
    return session.logits()[0];
}
float g(const q::Model<q::models::Plain>& model) {
    q::Session<q::Model<q::models::Plain>> session(model);
    session.append(q::Prompt{{1, 2, 3}, {}});
    session.rewind(2);
    return session.logits()[0];
}
