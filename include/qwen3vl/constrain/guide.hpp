#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <span>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

class TokenTrie;

/// A trie that is made when it is first asked for. Threads may share it.
class LazyTokenTrie {
  public:
    /// The trie of this tokenizer, always the same one. Defined in constrain/token_trie.hpp.
    std::shared_ptr<const TokenTrie> get(const tokenizer::Tokenizer& tokenizer) const;

  private:
    mutable std::mutex mutex_;
    mutable std::shared_ptr<const TokenTrie> trie_;
};

/// One answer under a Grammar, token by token, as conversations see it: a Matcher, or what has its functions. Not a
/// base class: for one, GCC compiles the functions of every class it sees derived, and so the automaton into programs
/// that never make a grammar.
class Guide {
  public:
    /// Of a Matcher or another class with these functions.
    template <class Answer>
    explicit Guide(std::unique_ptr<Answer> answer) : answer_(std::move(answer)), functions_(&functions_of<Answer>) {}
    Guide(Guide&&) = default;
    Guide& operator=(Guide&&) = default;

    /// Bits of the tokens that may come next, 64 to a word, with `ends` where the answer may end. Valid until the next
    /// call.
    std::span<const std::uint64_t> mask(std::span<const int> ends) { return functions_->mask(answer_.get(), ends); }
    /// True if the token may come next.
    bool allows(int token) const { return functions_->allows(answer_.get(), token); }
    /// Takes a token into the answer. Throws GrammarError, and changes nothing, where it is not allowed.
    void accept(int token) { functions_->accept(answer_.get(), token); }
    /// True if the answer may end here.
    bool complete() const { return functions_->complete(answer_.get()); }
    /// True if it must.
    bool finished() const { return functions_->finished(answer_.get()); }
    /// Tokens that must come next; none where there is a choice.
    std::vector<int> forced_tokens(const tokenizer::Tokenizer& tokenizer) const {
        return functions_->forced_tokens(answer_.get(), tokenizer);
    }

  private:
    struct Functions {
        std::span<const std::uint64_t> (*mask)(void*, std::span<const int>);
        bool (*allows)(const void*, int);
        void (*accept)(void*, int);
        bool (*complete)(const void*);
        bool (*finished)(const void*);
        std::vector<int> (*forced_tokens)(const void*, const tokenizer::Tokenizer&);
    };
    template <class Answer>
    static constexpr Functions functions_of{
        [](void* a, std::span<const int> ends) { return static_cast<Answer*>(a)->mask(ends); },
        [](const void* a, int token) { return static_cast<const Answer*>(a)->allows(token); },
        [](void* a, int token) { static_cast<Answer*>(a)->accept(token); },
        [](const void* a) { return static_cast<const Answer*>(a)->complete(); },
        [](const void* a) { return static_cast<const Answer*>(a)->finished(); },
        [](const void* a, const tokenizer::Tokenizer& t) { return static_cast<const Answer*>(a)->forced_tokens(t); }};

    std::shared_ptr<void> answer_;  // knows how to destroy it
    const Functions* functions_;
};

}  // namespace qwen3vl::constrain
