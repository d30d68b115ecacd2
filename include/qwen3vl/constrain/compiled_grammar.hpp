#pragma once
#include <memory>
#include <mutex>
#include <qwen3vl/constrain/automaton.hpp>
#include <qwen3vl/constrain/grammar.hpp>
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

/// What answers under one grammar share: its rules, and what was found out about vocabularies.
class Grammar::Shared {
  public:
    /// The rules must be finished.
    explicit Shared(Rules rules) : rules_(std::move(rules)) {}

    /// The grammar's rules.
    const Rules& rules() const { return rules_; }
    /// One that no other answer uses. Throws GrammarError where the vocabulary cannot spell any answer.
    std::unique_ptr<CompiledGrammar> take(const std::shared_ptr<const TokenTrie>& trie) {
        {
            const std::scoped_lock lock(mutex_);
            for (auto& c : idle_)
                if (c->trie == trie) {
                    auto taken = std::move(c);
                    c = std::move(idle_.back());
                    idle_.pop_back();
                    return taken;
                }
        }
        return std::make_unique<CompiledGrammar>(rules_, trie);
    }
    /// For the next answer.
    void give_back(std::unique_ptr<CompiledGrammar> c) {
        const std::scoped_lock lock(mutex_);
        if (idle_.size() < kept) idle_.push_back(std::move(c));
    }

  private:
    static constexpr std::size_t kept = 8;
    const Rules rules_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<CompiledGrammar>> idle_;
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
