#pragma once
#include <qwen3vl/testing/models.hpp>
#include "prompts.hpp"

/// Conversations with models of random weights, one of each type.
namespace qwen3vl_test {

template <class M>
const M& synthetic() {
    static const M m = testing::synthetic_model<M>();
    return m;
}
/// Logits of a prompt's end and of five tokens more.
template <class M>
std::vector<float> conversation(const Prompt& prompt, int chunk, int context) {
    Session<M> session(synthetic<M>(), {.context = context, .chunk = chunk, .threads = 2});
    return logits_along(session, prompt, words(5, 77));
}
/// Logits after five tokens more.
template <class M>
std::vector<float> go_on(Session<M>& session) {
    for (const int token : words(5, 77)) session.append(token);
    return logits_of(session);
}

}  // namespace qwen3vl_test
