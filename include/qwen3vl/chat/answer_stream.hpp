#pragma once
#include <chrono>
#include <qwen3vl/chat/constrained_answer.hpp>
#include <qwen3vl/chat/generation.hpp>
#include <qwen3vl/chat/sampler.hpp>
#include <qwen3vl/chat/stop.hpp>
#include <qwen3vl/tokenizer/stream_decoder.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// An answer in the making: chooses tokens from logits, passes text on, and tells when the answer ends. Whoever has the
/// logits computes the tokens that begin() and next() give, and calls next() with the logits behind the last one.
/// Predicted ids beyond the tokenizer's vocabulary (released tables have more rows) have no text. Tokens that a grammar
/// forces come together with the one before them, unless logprobs are asked for; logits_processor does not see them.
class AnswerStream {
  public:
    /// `prompt` are the tokens that the repetition penalty counts, `vocab` the number of logits. The tokenizer outlives
    /// it. Throws PromptError for options out of range, GrammarError as constrain::Matcher.
    AnswerStream(const tokenizer::Tokenizer& tokenizer, int vocab, std::span<const int> prompt,
                 GenerationOptions options, TextCallback callback = {});

    /// Tokens that the answer has to begin with, of which `room` fit the context: none as a rule.
    std::span<const int> begin(std::int64_t room);
    /// Chooses the next token by logits [vocab]; `room` more fit the context. Returns the tokens to compute before the
    /// next call. Where the answer has ended, they may be computed for an answer that goes on in another turn.
    std::span<const int> next(std::span<const float> logits, std::int64_t room);
    /// True if the answer has ended.
    bool ended() const { return reason_.has_value(); }
    /// Ends the answer from outside.
    void end(StopReason reason) {
        if (!reason_) reason_ = reason;
    }
    /// Tokens of the answer so far.
    std::span<const int> tokens() const { return out_.tokens; }
    /// Gives the answer, which has ended, and passes on the text that was held back. Call it once.
    Generation finish();

  private:
    bool room_for_more() const { return static_cast<int>(out_.tokens.size()) < options_.max_new_tokens; }
    bool show(const std::string& text) {
        out_.text += text;
        return text.empty() || !callback_ || callback_(text);
    }
    /// Takes a token into the answer; false where it ends with it.
    bool take(int token);
    /// Takes the tokens that the grammar forces; false where the answer ends among them.
    bool take_forced(std::int64_t room);
    /// The batch, or none of it where the answer ends at a token that nobody computes.
    std::span<const int> ends(StopReason reason) {
        batch_.clear();
        end(reason);
        return batch_;
    }

    const tokenizer::Tokenizer* tokenizer_;
    GenerationOptions options_;
    TextCallback callback_;
    Sampler sampler_;
    LoopDetector loop_;
    StopStrings stops_;
    tokenizer::StreamDecoder decoder_;
    ConstrainedAnswer answer_;
    Generation out_;
    std::vector<int> batch_;
    std::optional<StopReason> reason_;
    std::chrono::steady_clock::time_point started_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT AnswerStream::AnswerStream(const tokenizer::Tokenizer& tokenizer, int vocab,
                                           std::span<const int> prompt, GenerationOptions options,
                                           TextCallback callback)
    : tokenizer_(&tokenizer),
      options_(std::move(options)),
      callback_(std::move(callback)),
      sampler_(options_.sampling, vocab),
      loop_(options_.loop_guard),
      stops_(options_.stop_strings),
      decoder_(tokenizer),
      answer_(options_.answer, tokenizer, options_.stop_tokens),
      started_(std::chrono::steady_clock::now()) {
    sampler_.see_prompt(prompt);
    out_.tokens.reserve(static_cast<std::size_t>(std::max(options_.max_new_tokens, 0)));
}

QWEN3VL_SUPPORT bool AnswerStream::take(int token) {
    answer_.accept(token);
    batch_.push_back(token);
    out_.tokens.push_back(token);
    const bool go_on = show(stops_.push(tokenizer_->has_token(token) ? decoder_.push(token) : std::string()));
    if (stops_.found())
        ends(StopReason::stop_string);
    else if (!go_on)
        ends(StopReason::cancelled);
    else if (loop_.push(out_.tokens))
        ends(StopReason::loop);
    return !ended();
}

QWEN3VL_SUPPORT bool AnswerStream::take_forced(std::int64_t room) {
    if (options_.logprobs >= 0) return true;
    for (auto forced = answer_.forced(); !forced.empty(); forced = answer_.forced())
        for (const int token : forced) {
            if (!room_for_more() || static_cast<std::int64_t>(batch_.size()) >= room) return true;
            sampler_.accept(token);
            if (!take(token)) return false;
        }
    return true;
}

QWEN3VL_SUPPORT std::span<const int> AnswerStream::begin(std::int64_t room) {
    started_ = std::chrono::steady_clock::now();
    if (take_forced(room) && !room_for_more())
        end(answer_.finished() && options_.answer.grammar ? StopReason::stop_token : StopReason::max_new_tokens);
    return batch_;
}

QWEN3VL_SUPPORT std::span<const int> AnswerStream::next(std::span<const float> logits, std::int64_t room) {
    batch_.clear();
    if (answer_.finished()) return ends(StopReason::stop_token);
    const int token = sampler_.next(logits, out_.tokens, options_.logits_processor, answer_.mask());
    if (std::find(options_.stop_tokens.begin(), options_.stop_tokens.end(), token) != options_.stop_tokens.end())
        return ends(StopReason::stop_token);
    if (options_.logprobs >= 0) out_.logprobs.push_back(detail::logprobs_of(logits, token, options_.logprobs));
    if (!take(token)) return batch_;
    if (room <= 0) return ends(StopReason::context_full);
    if (!take_forced(room)) return batch_;
    if (!room_for_more())
        end(answer_.finished() && options_.answer.grammar ? StopReason::stop_token : StopReason::max_new_tokens);
    return batch_;
}

QWEN3VL_SUPPORT Generation AnswerStream::finish() {
    out_.reason = reason_.value_or(StopReason::cancelled);
    if (out_.reason != StopReason::stop_string) show(stops_.push(decoder_.finish()) + stops_.finish());
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    return std::move(out_);
}

#endif

}  // namespace qwen3vl
