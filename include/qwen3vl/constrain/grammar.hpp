#pragma once
#include <array>
#include <memory>
#include <mutex>
#include <qwen3vl/constrain/automaton.hpp>
#include <qwen3vl/constrain/token_trie.hpp>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// A mask as it is kept: perhaps the tokens of so many JSON string characters, and some beside them.
struct StoredMask {
    static constexpr std::uint32_t no_text = 0;  ///< no tokens of JSON string characters
    std::uint32_t text = no_text;                ///< characters; TokenTrie::any: of any number
    std::vector<std::uint32_t> tokens;           ///< that are not among those, or all of them where `dense` has them
    std::vector<std::uint64_t> dense;            ///< in place of all else, where that is shorter
    /// Memory that it takes.
    std::size_t bytes() const { return sizeof *this + 4 * tokens.size() + 8 * dense.size(); }
};

/// An automaton over a vocabulary, with the masks made so far.
struct CompiledGrammar {
    /// The rules must outlive it. Throws GrammarError as Rules::finish().
    CompiledGrammar(const Rules& rules, std::shared_ptr<const TokenTrie> trie_);

    std::shared_ptr<const TokenTrie> trie;  ///< of the vocabulary
    Rules restricted;                       ///< where the vocabulary lacks bytes that the rules have
    Automaton automaton;                    ///< of the rules, or of the restricted ones
    std::vector<int> mask_of;               ///< by configuration; -1: not made yet
    std::vector<StoredMask> masks;          ///< those made so far
    std::size_t mask_bytes = 0;             ///< memory that they take

  private:
    static bool whole(const TokenTrie& trie);
};

/// A language of answers: a JSON schema, a regular expression or a grammar, made ready by json_schema(), regex() or
/// ebnf(). A default one allows everything. Cheap to copy; threads may share one. What is found out about a vocabulary
/// is kept with it, so that the next answer begins with it.
class Grammar {
  public:
    /// Allows everything.
    Grammar() = default;
    /// The rules must be finished.
    explicit Grammar(Rules rules) : shared_(std::make_shared<Shared>(std::move(rules))) {}

    /// False if it allows everything.
    explicit operator bool() const { return shared_ != nullptr; }
    /// Its rules; of one that does not allow everything.
    const Rules& rules() const { return shared_->rules; }

  private:
    friend class Matcher;
    static constexpr std::size_t kept = 8;
    struct Shared {
        explicit Shared(Rules r) : rules(std::move(r)) {}
        const Rules rules;
        std::mutex mutex;
        std::vector<std::unique_ptr<CompiledGrammar>> idle;
    };
    /// One that no other answer uses. Throws GrammarError where the vocabulary cannot spell any answer.
    std::unique_ptr<CompiledGrammar> take(const std::shared_ptr<const TokenTrie>& trie) const {
        {
            const std::scoped_lock lock(shared_->mutex);
            for (auto& c : shared_->idle)
                if (c->trie == trie) {
                    auto taken = std::move(c);
                    c = std::move(shared_->idle.back());
                    shared_->idle.pop_back();
                    return taken;
                }
        }
        return std::make_unique<CompiledGrammar>(shared_->rules, trie);
    }
    void give_back(std::unique_ptr<CompiledGrammar> c) const {
        const std::scoped_lock lock(shared_->mutex);
        if (shared_->idle.size() < kept) shared_->idle.push_back(std::move(c));
    }

    std::shared_ptr<Shared> shared_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT bool CompiledGrammar::whole(const TokenTrie& trie) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
        const bool in_utf8 = byte < 0xC0 || (byte >= 0xC2 && byte <= 0xF4);
        if (in_utf8 && !trie.alphabet()[byte]) return false;
    }
    return true;
}

QWEN3VL_SUPPORT CompiledGrammar::CompiledGrammar(const Rules& rules, std::shared_ptr<const TokenTrie> trie_)
    : trie(std::move(trie_)),
      restricted(whole(*trie) ? Rules() : rules.restricted(trie->alphabet())),
      automaton(whole(*trie) ? rules : restricted) {}

#endif

}  // namespace qwen3vl::constrain
