#pragma once
#include <algorithm>
#include <bit>
#include <qwen3vl/constrain/compiled_grammar.hpp>
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// One answer under a Grammar, token by token: which tokens may come next, as a bit for each id, and whether the answer
/// may end. Whatever allowed tokens are taken, the end can be reached: no text is begun that nothing completes.
///
///     Matcher m(grammar, trie);
///     while (!m.finished()) m.accept(choose(m.mask()));
///
/// Used by one thread at a time.
class Matcher {
  public:
    /// The vocabulary should have a token for each byte. Bytes without one are not used: what cannot be written without
    /// them is not allowed. Throws GrammarError where no answer is left.
    Matcher(const Grammar& grammar, const std::shared_ptr<const TokenTrie>& trie)
        : grammar_(grammar), compiled_(grammar.shared_->take(trie)), mask_(trie->mask_words()) {
        try {
            here_ = compiled_->automaton.start();
        } catch (...) {
            drop();
            throw;
        }
    }
    /// Gives what was found out back to the grammar.
    ~Matcher() { drop(); }
    Matcher(const Matcher&) = delete;
    Matcher& operator=(const Matcher&) = delete;

    /// Bits of the tokens that may come next, 64 to a word: token t is bit t % 64 of word t / 64. `ends` are tokens
    /// that end a turn, allowed where complete() holds. Valid until the next call. Throws GrammarError where the
    /// grammar is too ambiguous.
    std::span<const std::uint64_t> mask(std::span<const int> ends = {});
    /// True if the token may come next.
    bool allows(int token) const { return follow(token) != Automaton::dead; }
    /// Takes a token into the answer. Throws GrammarError, and changes nothing, where it is not allowed.
    void accept(int token);
    /// True if the answer may end here.
    bool complete() const { return compiled_->automaton.complete(here_); }
    /// True if it must.
    bool finished() const { return complete() && !compiled_->automaton.continues(here_); }
    /// Bytes that must come next, at most `limit`: none where there is a choice.
    std::string forced_bytes(std::size_t limit = 256) const;
    /// Tokens for those bytes, as the tokenizer cuts them. The last ones are left out where a longer token could begin
    /// there, so that the model itself says how the text goes on.
    std::vector<int> forced_tokens(const tokenizer::Tokenizer& tokenizer) const;

  private:
    static constexpr std::size_t most_mask_bytes = std::size_t{48} << 20;

    void drop() {
        if (compiled_) grammar_.shared_->give_back(std::move(compiled_));
    }
    int follow(int token) const;
    int find_mask();
    StoredMask make_mask(int configuration);
    void walk(const TokenTrie::Tree& tree, int configuration);

    Grammar grammar_;
    std::unique_ptr<CompiledGrammar> compiled_;
    int here_ = Automaton::dead;
    std::vector<std::uint64_t> mask_;
    std::vector<int> path_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Grammar::Grammar(Rules rules)
    : shared_(std::make_shared<Shared>(std::move(rules))),
      make_guide_([](const Grammar& grammar, const tokenizer::Tokenizer& tokenizer, const LazyTokenTrie* vocabulary) {
          return Guide(std::make_unique<Matcher>(
              grammar, vocabulary ? vocabulary->get(tokenizer) : std::make_shared<const TokenTrie>(tokenizer)));
      }) {}

/// Sets the bits of the tree's tokens that may follow.
QWEN3VL_SUPPORT void Matcher::walk(const TokenTrie::Tree& tree, int configuration) {
    Automaton& a = compiled_->automaton;
    const std::span<const TokenTrie::Node> nodes(tree.nodes);
    path_.resize(compiled_->trie->longest() + 1);
    path_[0] = configuration;
    const std::uint64_t begin = a.work();
    const std::bitset<256> live = a.next_bytes(configuration);
    for (const auto& [first, root] : tree.roots) {
        if (!live[first]) continue;  // before the node itself is looked at
        for (std::size_t i = root, end = nodes[root].after; i < end;) {
            const TokenTrie::Node& n = nodes[i];
            int next = a.known(path_[n.depth], n.byte);
            if (next == Automaton::unknown) {
                next = a.next(path_[n.depth], n.byte);
                if (a.work() - begin > a.rules().limits().work)
                    throw GrammarError("the grammar is too ambiguous to follow");
            }
            if (next == Automaton::dead) {
                i = n.after;
                continue;
            }
            path_[n.depth + std::size_t{1}] = next;
            if (n.token >= 0) mask_[static_cast<std::size_t>(n.token) / 64] |= std::uint64_t{1} << (n.token % 64);
            ++i;
        }
    }
}

QWEN3VL_SUPPORT StoredMask Matcher::make_mask(int configuration) {
    const TokenTrie& trie = *compiled_->trie;
    StoredMask mask;
    auto room = compiled_->automaton.text_room(configuration);
    if (!room && compiled_->automaton.reads_text(configuration)) room = TokenTrie::any;
    if (room) mask.text = *room;
    std::fill(mask_.begin(), mask_.end(), 0);
    walk(room ? trie.other_tree() : trie.tree(), configuration);
    std::size_t count = 0;
    for (const std::uint64_t word : mask_) count += static_cast<std::size_t>(std::popcount(word));
    if (!room && count > 2 * mask_.size()) {
        mask.dense = mask_;
        return mask;
    }
    mask.tokens.reserve(count);
    for (std::size_t w = 0; w < mask_.size(); ++w)
        for (std::uint64_t word = mask_[w]; word != 0; word &= word - 1)
            mask.tokens.push_back(
                static_cast<std::uint32_t>(64 * w + static_cast<std::size_t>(std::countr_zero(word))));
    return mask;
}

/// The number of the mask of where the answer stands.
QWEN3VL_SUPPORT int Matcher::find_mask() {
    CompiledGrammar& c = *compiled_;
    if (c.automaton.size() > c.automaton.rules().limits().configurations || c.mask_bytes > most_mask_bytes) {
        here_ = c.automaton.forget_others(here_);
        c.mask_of.clear();
        c.masks.clear();
        c.mask_bytes = 0;
    }
    int key = c.automaton.representative(here_, static_cast<std::uint32_t>(c.trie->longest()));
    const auto known = [&] {
        if (c.mask_of.size() <= static_cast<std::size_t>(key)) c.mask_of.resize(static_cast<std::size_t>(key) + 1, -1);
        return c.mask_of[static_cast<std::size_t>(key)];
    };
    if (known() >= 0) return known();
    const bool dropped = c.automaton.dropped();
    StoredMask mask = make_mask(key);
    if (!dropped && c.automaton.dropped()) mask = make_mask(key = here_);  // the two may have dropped different pairs
    c.mask_bytes += mask.bytes();
    c.masks.push_back(std::move(mask));
    known();
    return c.mask_of[static_cast<std::size_t>(key)] = static_cast<int>(c.masks.size()) - 1;
}

QWEN3VL_SUPPORT std::span<const std::uint64_t> Matcher::mask(std::span<const int> ends) {
    const StoredMask& m = compiled_->masks[static_cast<std::size_t>(find_mask())];
    const bool may_end = complete() && !ends.empty();
    if (!m.dense.empty() && !may_end) return m.dense;
    if (!m.dense.empty())
        std::copy(m.dense.begin(), m.dense.end(), mask_.begin());
    else if (m.text != StoredMask::no_text)
        compiled_->trie->text_tokens(m.text, mask_);
    else
        std::fill(mask_.begin(), mask_.end(), 0);
    const auto set = [&](std::size_t t) { mask_[t / 64] |= std::uint64_t{1} << (t % 64); };
    for (const std::uint32_t t : m.tokens) set(t);
    if (may_end)
        for (const int t : ends)
            if (t >= 0 && t < compiled_->trie->vocab_size()) set(static_cast<std::size_t>(t));
    return mask_;
}

QWEN3VL_SUPPORT int Matcher::follow(int token) const {
    if (token < 0 || token >= compiled_->trie->vocab_size()) return Automaton::dead;
    const std::string_view bytes = compiled_->trie->bytes(token);
    int at = bytes.empty() ? Automaton::dead : here_;
    for (std::size_t i = 0; i < bytes.size() && at != Automaton::dead; ++i)
        at = compiled_->automaton.next(at, static_cast<std::uint8_t>(bytes[i]));
    return at;
}

QWEN3VL_SUPPORT void Matcher::accept(int token) {
    const int next = follow(token);
    if (next == Automaton::dead)
        throw GrammarError("token " + std::to_string(token) + " is not allowed by the grammar here");
    here_ = next;
}

QWEN3VL_SUPPORT std::string Matcher::forced_bytes(std::size_t limit) const {
    std::string bytes;
    int at = here_;
    while (bytes.size() < limit) {
        const auto byte = compiled_->automaton.forced(at);
        if (!byte) break;
        bytes.push_back(static_cast<char>(*byte));
        at = compiled_->automaton.next(at, *byte);
    }
    return bytes;
}

QWEN3VL_SUPPORT std::vector<int> Matcher::forced_tokens(const tokenizer::Tokenizer& tokenizer) const {
    const std::string bytes = forced_bytes();
    std::vector<int> tokens;
    if (bytes.empty() || tokenizer::repair_utf8(bytes) != bytes) return tokens;
    std::size_t at = 0;
    for (const int token : tokenizer.encode(bytes)) {
        const std::string_view text = tokenizer.token_bytes(token);
        const std::string_view rest = std::string_view(bytes).substr(at);
        if (!rest.starts_with(text) || compiled_->trie->begins_longer(rest)) break;
        tokens.push_back(token);
        at += text.size();
    }
    return tokens;
}

#endif

}  // namespace qwen3vl::constrain
