#pragma once
#include <algorithm>
#include <qwen3vl/model/positions.hpp>
#include <qwen3vl/model/saved_state.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// The modality of a session's tokens, where a mask asks for it; nothing where none does.
template <class P>
class SessionTypes {
  public:
    /// `memory`: token_type_bytes<P>(context).
    void open(std::byte* memory) { types_ = TokenTypes(memory); }
    const TokenTypes& types() const { return types_; }

    /// Tokens [first, first + count), before they are computed: the spans, counted from `first`, are vision.
    void note([[maybe_unused]] std::int64_t first, [[maybe_unused]] std::int64_t count, [[maybe_unused]] std::span<const VisualSpan> spans = {}) {
        if constexpr (types_tokens<P>) {
            types_.assign(first, count, Modality::language);
            for (const auto& s : spans) types_.assign(first + s.first, s.count, Modality::vision);
        }
    }
    /// What a file keeps of the first so many tokens: token_type_bytes<P>(tokens).
    std::span<std::byte> saved(std::int64_t tokens) { return types_tokens<P> ? types_.words_of(tokens) : std::span<std::byte>(); }

    /// Reads them from a file, of tokens with these positions after each prefix, `inside` within a picture. Throws LoadError where they do not fit those.
    static std::vector<std::uint64_t> read(StateReader& in, std::span<const std::int64_t> next_after, std::int64_t inside) {
        const auto tokens = static_cast<std::int64_t>(next_after.size()) - 1;
        std::vector<std::uint64_t> words(static_cast<std::size_t>(token_type_bytes<P>(tokens)) / sizeof(std::uint64_t));
        if (words.empty()) return words;
        in.read(std::as_writable_bytes(std::span(words)));
        const auto found = words;
        TokenTypes types(std::as_writable_bytes(std::span(words)).data());
        types.words_of(tokens);
        if (words != found) in.fail("damaged: types of more than " + std::to_string(tokens) + " tokens");
        for (std::int64_t t = 0; t < tokens; ++t) {  // text stands outside of pictures, and counts on by one
            const std::int64_t at = next_after[static_cast<std::size_t>(t)], next = next_after[static_cast<std::size_t>(t) + 1];
            if (types[t] == Modality::language && (at == inside || next != at + 1))
                in.fail("damaged: token " + std::to_string(t) + " of a picture is called text");
        }
        return words;
    }
    /// Goes on from what was read.
    void restore(std::span<const std::uint64_t> words, std::int64_t tokens) { std::ranges::copy(std::as_bytes(words), saved(tokens).begin()); }

  private:
    TokenTypes types_;
};

}  // namespace qwen3vl::detail
