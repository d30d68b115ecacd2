#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <qwen3vl/core/error.hpp>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Options for choosing the next token. The defaults are greedy.
struct SamplingOptions {
    double temperature = 0;  ///< 0: the likeliest token, always
    int top_k = 0;           ///< only the k likeliest; 0: all
    double top_p = 1;        ///< only the likeliest whose probabilities reach p together (Holtzman et al., 2019)
    double min_p = 0;        ///< only those at least this share as likely as the likeliest
    double repetition_penalty =
        1;  ///< divides (or multiplies, where negative) logits of tokens of prompt and answer (Keskar et al., 2019)
    double presence_penalty = 0;   ///< subtracted from logits of tokens of the answer
    double frequency_penalty = 0;  ///< subtracted as often as the token stands in the answer
    std::uint64_t seed = 0;        ///< the same seed gives the same tokens
    /// True if the likeliest token is always taken.
    bool greedy() const { return temperature == 0 || top_k == 1; }
};

/// Changes logits [vocab] before a token is chosen, seeing the answer's tokens so far: constrained decoding, bans,
/// biases.
using LogitsProcessor = std::function<void(std::span<const int> answer, std::span<float> logits)>;

/// Chooses tokens of one answer. All memory is taken at construction. Steps in the reference's order: processor,
/// penalties, temperature, top_k, top_p, min_p.
class Sampler {
  public:
    /// Throws PromptError where an option lies outside its range.
    Sampler(const SamplingOptions& options, int vocab);

    /// Adds the prompt's tokens, which count for the repetition penalty.
    void see_prompt(std::span<const int> tokens) {
        for (const int t : tokens) in_prompt_[static_cast<std::size_t>(t)] = true;
    }

    /// Chooses the next token for logits [vocab]; it counts as part of the answer from then on. `allowed`, unless
    /// empty, has a bit for each token, 64 to a word; tokens beyond it are not allowed. One that is allowed is chosen
    /// even where the processor forbade all of them. Throws PromptError where none is.
    int next(std::span<const float> logits, std::span<const int> answer, const LogitsProcessor& processor,
             std::span<const std::uint64_t> allowed = {});

    /// Counts a token as part of the answer that was not chosen here.
    void accept(int token) { ++in_answer_[static_cast<std::size_t>(token)]; }

  private:
    void allow(std::span<const std::uint64_t> allowed);
    void penalise();
    /// The first token of the largest logit, so that equal logits do not depend on anything else.
    int likeliest() const {
        return static_cast<int>(std::max_element(logits_.begin(), logits_.end()) - logits_.begin());
    }

    int sample();
    double weight(int token, double top) const {
        return std::exp((static_cast<double>(logits_[static_cast<std::size_t>(token)]) - top) / options_.temperature);
    }

    SamplingOptions options_;
    std::mt19937_64 random_;
    std::vector<float> logits_;
    std::vector<bool> in_prompt_;
    std::vector<int> in_answer_, kept_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Sampler::Sampler(const SamplingOptions& options, int vocab) : options_(options), random_(options.seed) {
    const auto require = [](bool ok, const char* field, const char* range, double found) {
        if (!ok)
            throw PromptError(std::string("SamplingOptions::") + field + ": expected " + range + ", found " +
                              std::to_string(found));
    };
    require(options.temperature >= 0 && std::isfinite(options.temperature), "temperature", "a number from 0",
            options.temperature);
    require(options.top_k >= 0, "top_k", "a number from 0", options.top_k);
    require(options.top_p > 0 && options.top_p <= 1, "top_p", "a number above 0 up to 1", options.top_p);
    require(options.min_p >= 0 && options.min_p <= 1, "min_p", "a number from 0 to 1", options.min_p);
    require(options.repetition_penalty > 0 && std::isfinite(options.repetition_penalty), "repetition_penalty",
            "a number above 0", options.repetition_penalty);
    require(std::isfinite(options.presence_penalty), "presence_penalty", "a finite number", options.presence_penalty);
    require(std::isfinite(options.frequency_penalty), "frequency_penalty", "a finite number",
            options.frequency_penalty);
    logits_.resize(static_cast<std::size_t>(vocab));
    in_prompt_.resize(static_cast<std::size_t>(vocab));
    in_answer_.resize(static_cast<std::size_t>(vocab));
    kept_.reserve(static_cast<std::size_t>(vocab));
}

QWEN3VL_SUPPORT int Sampler::next(std::span<const float> logits, std::span<const int> answer,
                                  const LogitsProcessor& processor, std::span<const std::uint64_t> allowed) {
    std::copy(logits.begin(), logits.end(), logits_.begin());
    if (processor) processor(answer, logits_);
    if (!allowed.empty()) allow(allowed);
    penalise();
    const int token = options_.greedy() ? likeliest() : sample();
    ++in_answer_[static_cast<std::size_t>(token)];
    return token;
}

/// Leaves the logits of allowed tokens, of which one at least is finite then.
QWEN3VL_SUPPORT void Sampler::allow(std::span<const std::uint64_t> allowed) {
    constexpr float never = -std::numeric_limits<float>::infinity();
    std::size_t first = logits_.size();
    bool some = false;
    for (std::size_t begin = 0; begin < logits_.size(); begin += 64) {
        const std::uint64_t word = begin / 64 < allowed.size() ? allowed[begin / 64] : 0;
        const std::size_t end = std::min(begin + 64, logits_.size());
        if (word == 0) {
            std::fill(logits_.begin() + static_cast<std::ptrdiff_t>(begin),
                      logits_.begin() + static_cast<std::ptrdiff_t>(end), never);
            continue;
        }
        for (std::size_t i = begin; i < end; ++i) {
            if (!(word >> (i - begin) & 1)) {
                logits_[i] = never;
                continue;
            }
            first = std::min(first, i);
            some = some || logits_[i] > never;
        }
    }
    if (first == logits_.size()) throw PromptError("no token of the vocabulary may come next");
    if (!some) logits_[first] = 0;
}

QWEN3VL_SUPPORT void Sampler::penalise() {
    const auto repetition = static_cast<float>(options_.repetition_penalty);
    if (repetition == 1.0f && options_.presence_penalty == 0 && options_.frequency_penalty == 0) return;
    for (std::size_t i = 0; i < logits_.size(); ++i) {
        const int n = in_answer_[i];
        if (n == 0 && !in_prompt_[i]) continue;
        float& l = logits_[i];
        l = l > 0 ? l / repetition : l * repetition;
        if (n > 0) l -= static_cast<float>(options_.presence_penalty + n * options_.frequency_penalty);
    }
}

QWEN3VL_SUPPORT int Sampler::sample() {
    const auto more_likely = [&](int a, int b) {
        const float x = logits_[static_cast<std::size_t>(a)], y = logits_[static_cast<std::size_t>(b)];
        return x != y ? x > y : a < b;
    };
    kept_.clear();
    for (std::size_t i = 0; i < logits_.size(); ++i)
        if (logits_[i] > -std::numeric_limits<float>::infinity()) kept_.push_back(static_cast<int>(i));
    if (kept_.empty()) return likeliest();  // a processor forbade everything
    if (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < kept_.size()) {
        std::nth_element(kept_.begin(), kept_.begin() + options_.top_k, kept_.end(), more_likely);
        kept_.resize(static_cast<std::size_t>(options_.top_k));
    }
    std::sort(kept_.begin(), kept_.end(), more_likely);
    // weights relative to the likeliest, in place of the logits
    const auto top = static_cast<double>(logits_[static_cast<std::size_t>(kept_[0])]);
    double total = 0;
    for (const int i : kept_) total += weight(i, top);
    std::size_t n = 0;
    double sum = 0;
    while (n < kept_.size() && (n == 0 || (sum < options_.top_p * total && weight(kept_[n], top) >= options_.min_p)))
        sum += weight(kept_[n++], top);
    double at =
        static_cast<double>(random_() >> 11) * 0x1.0p-53 * sum;  // uniform in [0, sum), the same on every platform
    for (std::size_t i = 0; i + 1 < n; ++i) {
        at -= weight(kept_[i], top);
        if (at < 0) return kept_[i];
    }
    return kept_[n - 1];
}

#endif

}  // namespace qwen3vl
