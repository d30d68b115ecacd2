#pragma once
#include <qwen3vl/tokenizer/tokenizer.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Turns tokens into text one at a time, handing on complete UTF-8 characters only. What it returns, joined, is what
/// Tokenizer::decode returns for all ids.
class StreamDecoder {
  public:
    /// The tokenizer must outlive the decoder.
    explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {})
        : tokenizer_(&tokenizer), options_(options) {}
    explicit StreamDecoder(const Tokenizer&&, DecodeOptions = {}) = delete;

    /// The text that this token completes, perhaps none. Throws TokenizerError for an id that no token has.
    std::string push(int id) {
        std::string text;
        const std::string_view bytes = tokenizer_->token_bytes(id);
        if (!(options_.skip_special && tokenizer_->is_special(id))) repair_.push(bytes, text);
        return text;
    }
    /// Ends the text: U+FFFD if it stops inside a character, else nothing.
    std::string finish() {
        std::string text;
        repair_.finish(text);
        return text;
    }

  private:
    const Tokenizer* tokenizer_;
    DecodeOptions options_;
    Utf8Repair repair_;
};

}  // namespace qwen3vl::tokenizer
