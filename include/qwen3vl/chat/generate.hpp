#pragma once
#include <chrono>
#include <qwen3vl/chat/constrained_answer.hpp>
#include <qwen3vl/chat/sampler.hpp>
#include <qwen3vl/chat/stop.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/tokenizer/stream_decoder.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Reason why an answer ended.
enum class StopReason { stop_token, stop_string, max_new_tokens, context_full, loop, cancelled };

/// The reason as the enumerator is spelled.
constexpr std::string_view stop_reason_name(StopReason r) {
    constexpr std::string_view names[] = {"stop_token",   "stop_string", "max_new_tokens",
                                          "context_full", "loop",        "cancelled"};
    return names[static_cast<std::size_t>(r)];
}

/// Receives an answer's text piece by piece, whole UTF-8 characters only; returning false ends the answer.
using TextCallback = std::function<bool(std::string_view text)>;

/// Options of generate(): how tokens are chosen, and when an answer ends.
struct GenerationOptions {
    int max_new_tokens = 512;                    ///< the answer ends after so many tokens at most
    SamplingOptions sampling = {};               ///< greedy by default
    std::vector<int> stop_tokens = {};           ///< end the answer, not part of it
    std::vector<std::string> stop_strings = {};  ///< end the answer, cut off
    LoopGuard loop_guard = {};                   ///< ends an answer that repeats itself
    LogitsProcessor logits_processor = {};       ///< changes the logits before each token is chosen; empty: none
    int logprobs = -1;          ///< 0: log probabilities of chosen tokens; n: of the n likeliest beside them; -1: none
    AnswerOptions answer = {};  ///< what the answer must be; by default anything
};

/// Natural logarithms of the model's own probabilities, before penalties and temperature.
struct TokenLogprobs {
    /// A token of the vocabulary and the logarithm of its probability.
    struct Entry {
        int token = 0;       ///< id in the vocabulary
        double logprob = 0;  ///< natural logarithm, at most 0
    };
    Entry chosen;                  ///< the token that was taken
    std::vector<Entry> likeliest;  ///< in descending order
};

/// A generated answer.
struct Generation {
    std::string text;                                ///< decoded, without control tokens and stop strings
    std::vector<int> tokens;                         ///< without the token that ended it
    StopReason reason = StopReason::max_new_tokens;  ///< of the answer's end
    /// One for each of `tokens`, where GenerationOptions::logprobs asks for them; else empty.
    std::vector<TokenLogprobs> logprobs;
    double seconds = 0;  ///< from the first logits to the end
};

namespace detail {

inline TokenLogprobs logprobs_of(std::span<const float> logits, int chosen, int count) {
    const double sum = log_sum_exp(logits);
    const auto entry = [&](int t) {
        return TokenLogprobs::Entry{t, static_cast<double>(logits[static_cast<std::size_t>(t)]) - sum};
    };
    TokenLogprobs out{entry(chosen), {}};
    std::vector<int> order(logits.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    const auto n = static_cast<std::ptrdiff_t>(std::min(static_cast<std::size_t>(std::max(count, 0)), order.size()));
    std::partial_sort(order.begin(), order.begin() + n, order.end(), [&](int a, int b) {
        return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    for (std::ptrdiff_t i = 0; i < n; ++i) out.likeliest.push_back(entry(order[static_cast<std::size_t>(i)]));
    return out;
}

}  // namespace detail

/// Continues a session, whose logits stand after the prompt, until the answer ends. `prompt` are the tokens that the
/// repetition penalty counts. The session then holds the answer's tokens, the ending one not among them. Predicted ids
/// beyond the tokenizer's vocabulary (released tables have more rows) have no text. Tokens that a grammar forces are
/// appended together with the one before them, in one pass, unless logprobs are asked for; logits_processor does not
/// see them. Throws PromptError for options out of range, GrammarError as constrain::Matcher.
template <class M>
Generation generate(Session<M>& session, const tokenizer::Tokenizer& tokenizer, std::span<const int> prompt,
                    const GenerationOptions& options, const TextCallback& callback = {}) {
    const auto begin = std::chrono::steady_clock::now();
    Sampler sampler(options.sampling, M::dims::text.vocab);
    sampler.see_prompt(prompt);
    LoopDetector loop(options.loop_guard);
    StopStrings stops(options.stop_strings);
    tokenizer::StreamDecoder decoder(tokenizer);
    Generation out;
    out.tokens.reserve(static_cast<std::size_t>(std::max(options.max_new_tokens, 0)));
    const auto show = [&](std::string text) {
        out.text += text;
        return text.empty() || !callback || callback(text);
    };
    ConstrainedAnswer answer(options.answer, tokenizer, options.stop_tokens);
    std::vector<int> batch;  // tokens of the answer that the session does not hold yet
    const auto room = [&] { return static_cast<int>(out.tokens.size()) < options.max_new_tokens; };
    const auto take = [&](int token) -> std::optional<StopReason> {
        answer.accept(token);
        batch.push_back(token);
        out.tokens.push_back(token);
        const bool go_on = show(stops.push(tokenizer.has_token(token) ? decoder.push(token) : std::string()));
        if (stops.found()) return StopReason::stop_string;
        if (!go_on) return StopReason::cancelled;
        if (loop.push(out.tokens)) return StopReason::loop;
        return std::nullopt;
    };
    const auto take_forced = [&]() -> std::optional<StopReason> {
        if (options.logprobs >= 0) return std::nullopt;
        for (auto forced = answer.forced(); !forced.empty(); forced = answer.forced())
            for (const int token : forced) {
                if (!room() || session.length() + static_cast<std::int64_t>(batch.size()) >= session.context())
                    return std::nullopt;
                sampler.accept(token);
                if (const auto reason = take(token)) return reason;
            }
        return std::nullopt;
    };
    const auto append = [&] {
        if (batch.size() == 1)
            session.append(batch[0]);
        else if (!batch.empty())
            session.append(Prompt{batch, {}});
        batch.clear();
    };
    const auto run = [&] {
        if (const auto reason = take_forced()) return *reason;
        append();
        while (room()) {
            if (answer.finished()) return StopReason::stop_token;
            const auto logits = session.logits();
            const int token = sampler.next(logits, out.tokens, options.logits_processor, answer.mask());
            if (std::find(options.stop_tokens.begin(), options.stop_tokens.end(), token) != options.stop_tokens.end())
                return StopReason::stop_token;
            if (options.logprobs >= 0) out.logprobs.push_back(detail::logprobs_of(logits, token, options.logprobs));
            if (const auto reason = take(token)) return *reason;
            if (session.length() == session.context()) return StopReason::context_full;
            if (const auto reason = take_forced()) return *reason;
            append();
        }
        return answer.finished() && options.answer.grammar ? StopReason::stop_token : StopReason::max_new_tokens;
    };
    out.reason = run();
    if (out.reason != StopReason::stop_string) show(stops.push(decoder.finish()) + stops.finish());
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return out;
}

}  // namespace qwen3vl
