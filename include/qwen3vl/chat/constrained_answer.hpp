#pragma once
#include <optional>
#include <qwen3vl/constrain/grammar.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Options of constrained answers. Without a grammar an answer may be anything.
struct AnswerOptions {
    constrain::Grammar grammar = {};       ///< what the answer is, between prefix and suffix
    std::string prefix = {}, suffix = {};  ///< markup around what the grammar describes: "<tool_call>\n"
    int thinking = -1;  ///< tokens of thinking before the answer at most, "</think>" ends it; -1: there is none
    const constrain::LazyTokenTrie* vocabulary = nullptr;  ///< of the tokenizer; nullptr: made anew
};

/// One answer under AnswerOptions, token by token: thinking, the prefix, what the grammar describes, the suffix.
class ConstrainedAnswer {
  public:
    /// The tokenizer must outlive it. Throws TokenizerError where thinking is to be ended and the tokenizer has no
    /// "</think>", and GrammarError as constrain::Matcher.
    ConstrainedAnswer(const AnswerOptions& options, const tokenizer::Tokenizer& tokenizer, std::vector<int> ends);

    /// Tokens that may come next, as constrain::Guide::mask(); empty where all may.
    std::span<const std::uint64_t> mask();
    /// Tokens that must come next. Take them with accept() as well.
    std::vector<int> forced() const;
    /// Takes a token into the answer. Throws GrammarError where the grammar does not allow it.
    void accept(int token);
    /// True if the answer has to end here.
    bool finished() const { return stage_ == Stage::done; }

  private:
    enum class Stage { thinking, prefix, grammar, suffix, done };

    /// The markup of the stage, from where it has come to; nothing where the model chooses.
    std::span<const int> markup_ahead() const {
        const std::vector<int>* all = stage_ == Stage::prefix                            ? &prefix_
                                      : stage_ == Stage::suffix                          ? &suffix_
                                      : stage_ == Stage::thinking && thinking_left_ <= 0 ? &closing_
                                                                                         : nullptr;
        return all ? std::span(*all).subspan(at_) : std::span<const int>();
    }
    std::vector<int> markup(std::string_view text) const { return tokenizer_->encode(text, {.parse_special = true}); }
    /// Goes on to the first stage from here that has something to do.
    void enter(Stage stage);

    const tokenizer::Tokenizer* tokenizer_;
    std::vector<int> ends_;
    std::optional<constrain::Guide> guide_;
    Stage stage_ = Stage::done;
    int thinking_left_ = 0, think_end_ = -1;
    std::vector<int> prefix_, suffix_, closing_;
    std::size_t at_ = 0;  ///< tokens of the stage's markup that were taken
    std::vector<std::uint64_t> mask_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT ConstrainedAnswer::ConstrainedAnswer(const AnswerOptions& options,
                                                     const tokenizer::Tokenizer& tokenizer, std::vector<int> ends)
    : tokenizer_(&tokenizer), ends_(std::move(ends)), thinking_left_(options.thinking) {
    if (options.grammar) guide_ = options.grammar.guide(tokenizer, options.vocabulary);
    prefix_ = markup(options.prefix);
    suffix_ = markup(options.suffix);
    if (options.thinking >= 0) {
        const auto end = tokenizer.added_token_id("</think>");
        if (!end) throw TokenizerError(tokenizer.file() + ": expected an added token '</think>', found none");
        think_end_ = *end;
        closing_ = markup("\n</think>\n\n");
    }
    enter(options.thinking >= 0 ? Stage::thinking : Stage::prefix);
}

QWEN3VL_SUPPORT void ConstrainedAnswer::enter(Stage stage) {
    at_ = 0;
    stage_ = stage;
    if (stage_ == Stage::prefix && prefix_.empty()) stage_ = Stage::grammar;
    if (stage_ == Stage::grammar && guide_ && guide_->finished()) stage_ = Stage::suffix;
    if (stage_ == Stage::suffix && suffix_.empty()) stage_ = Stage::done;
}

QWEN3VL_SUPPORT std::span<const std::uint64_t> ConstrainedAnswer::mask() {
    if (stage_ == Stage::grammar && guide_)
        return guide_->mask(suffix_.empty() ? std::span<const int>(ends_) : std::span<const int>(suffix_).first(1));
    if (stage_ == Stage::grammar || stage_ == Stage::done) return {};
    const std::span<const int> next = markup_ahead();
    mask_.assign((static_cast<std::size_t>(tokenizer_->vocab_size()) + 63) / 64, next.empty() ? ~std::uint64_t{0} : 0);
    const auto bit = [](int t) { return std::uint64_t{1} << (t % 64); };
    if (!next.empty()) mask_[static_cast<std::size_t>(next[0]) / 64] |= bit(next[0]);
    for (const int t : ends_)  // thinking does not end the turn
        if (next.empty() && t >= 0 && t < tokenizer_->vocab_size()) mask_[static_cast<std::size_t>(t) / 64] &= ~bit(t);
    return mask_;
}

QWEN3VL_SUPPORT std::vector<int> ConstrainedAnswer::forced() const {
    if (stage_ == Stage::grammar && guide_) return guide_->forced_tokens(*tokenizer_);
    const auto next = markup_ahead();
    return {next.begin(), next.end()};
}

QWEN3VL_SUPPORT void ConstrainedAnswer::accept(int token) {
    switch (stage_) {
        case Stage::thinking:
            if (thinking_left_ > 0) {
                --thinking_left_;
                if (token == think_end_) enter(Stage::prefix);
            } else if (++at_ == closing_.size()) {
                enter(Stage::prefix);
            }
            return;
        case Stage::prefix:
            if (++at_ == prefix_.size()) enter(Stage::grammar);
            return;
        case Stage::grammar:
            if (!guide_) return;
            if (!suffix_.empty() && token == suffix_[0] && guide_->complete() && !guide_->allows(token)) {
                enter(Stage::suffix);
                return accept(token);
            }
            guide_->accept(token);
            if (guide_->finished()) enter(Stage::suffix);
            return;
        case Stage::suffix:
            if (++at_ == suffix_.size()) enter(Stage::done);
            return;
        case Stage::done: return;
    }
}

#endif

}  // namespace qwen3vl
