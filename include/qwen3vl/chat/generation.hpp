#pragma once
#include <algorithm>
#include <functional>
#include <qwen3vl/chat/constrained_answer.hpp>
#include <qwen3vl/chat/sampler.hpp>
#include <qwen3vl/chat/stop.hpp>
#include <qwen3vl/session/logprob.hpp>
#include <string>
#include <string_view>
#include <vector>

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

}  // namespace qwen3vl
