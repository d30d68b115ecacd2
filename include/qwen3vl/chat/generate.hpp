#pragma once
#include <qwen3vl/chat/answer_stream.hpp>
#include <qwen3vl/session/session.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Continues a session, whose logits stand after the prompt, until the answer ends. `prompt` are the tokens that the
/// repetition penalty counts. The session then holds the answer's tokens, the ending one not among them. Tokens that a
/// grammar forces are appended together with the one before them, in one pass: see AnswerStream. Throws PromptError for
/// options out of range, GrammarError as constrain::Matcher.
template <class M>
Generation generate(Session<M>& session, const tokenizer::Tokenizer& tokenizer, std::span<const int> prompt,
                    const GenerationOptions& options, const TextCallback& callback = {}) {
    AnswerStream answer(tokenizer, M::dims::text.vocab, prompt, options, callback);
    const auto room = [&] { return session.context() - session.length(); };
    for (auto batch = answer.begin(room());; batch = answer.next(session.logits(), room())) {
        if (batch.size() == 1)
            session.append(batch[0]);
        else if (!batch.empty())
            session.append(Prompt{{batch.begin(), batch.end()}, {}});
        if (answer.ended()) return answer.finish();
    }
}

}  // namespace qwen3vl
