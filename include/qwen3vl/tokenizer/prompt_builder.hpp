#pragma once
#include <qwen3vl/tokenizer/tokenizer.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Builds a prompt out of a template's markup, in which added tokens count, and of text, in which they do not. Text and
/// the plain parts of markup that stand side by side are tokenised as one text. So if no text holds an added token, the
/// ids are those of encoding everything joined with `parse_special`.
class PromptBuilder {
  public:
    /// The tokenizer must outlive the builder.
    explicit PromptBuilder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
    explicit PromptBuilder(const Tokenizer&&) = delete;

    /// Appends text that is plain whatever it spells.
    void text(std::string_view text) { run_ += text; }
    /// Appends the template's own text, in which added tokens count.
    void markup(std::string_view markup) {
        tokenizer_->for_each_added(markup, [&](std::string_view part, std::optional<int> token) {
            if (token) return repeat(*token, 1);
            text(part);
        });
    }
    /// Appends the token `id`, `count` times.
    void repeat(int id, std::size_t count) {
        flush();
        ids_.insert(ids_.end(), count, id);
    }
    /// Number of tokens before a token that is added now; tokenises the pending text.
    std::size_t position() {
        flush();
        return ids_.size();
    }
    /// Returns the ids of everything. The builder is empty afterwards.
    std::vector<int> finish() {
        flush();
        return std::exchange(ids_, {});
    }

  private:
    void flush() {
        if (run_.empty()) return;
        const auto ids = tokenizer_->encode(run_);
        ids_.insert(ids_.end(), ids.begin(), ids.end());
        run_.clear();
    }

    const Tokenizer* tokenizer_;
    std::vector<int> ids_;
    std::string run_;  // text that waits for its neighbours
};

}  // namespace qwen3vl::tokenizer
