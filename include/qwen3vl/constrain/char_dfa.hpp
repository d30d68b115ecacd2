#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <qwen3vl/constrain/char_classes.hpp>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// A set of strings of Unicode characters as a deterministic automaton over classes of them. Every state but those of
/// an empty set lies on the way to some string of the set.
class CharDfa {
  public:
    static constexpr int dead = -1;                                ///< no state
    static constexpr std::uint32_t unbounded = ~std::uint32_t{0};  ///< a length without end

    /// All strings.
    CharDfa() : next_{0}, accepts_{true} {}
    /// From a table [states, classes] of next states, `dead` for none, and the accepting states; state 0 is the first.
    CharDfa(CharClasses classes, std::vector<int> next, std::vector<bool> accepts)
        : classes_(std::move(classes)), next_(std::move(next)), accepts_(std::move(accepts)) {
        trim();
    }
    /// These strings. Throws GrammarError where they take more than `limit` states.
    static CharDfa of_strings(const std::vector<std::u32string>& strings, std::size_t limit);

    /// States; 0 is the first.
    int states() const { return static_cast<int>(accepts_.size()); }
    /// The classes of its table.
    const CharClasses& classes() const { return classes_; }
    /// The state after a character of a class, or `dead`.
    int next(int state, int char_class) const {
        return next_[static_cast<std::size_t>(state) * static_cast<std::size_t>(classes_.count()) +
                     static_cast<std::size_t>(char_class)];
    }
    /// True if a string may end there.
    bool accepting(int state) const { return accepts_[static_cast<std::size_t>(state)]; }
    /// True if every string may follow.
    bool universal(int state) const {
        if (!accepting(state)) return false;
        for (int c = 0; c < classes_.count(); ++c)
            if (next(state, c) != state) return false;
        return true;
    }
    /// True if there is no such string.
    bool empty() const { return states() == 0; }
    /// True for a string of the set.
    bool accepts(std::u32string_view text) const {
        int state = empty() ? dead : 0;
        for (std::size_t i = 0; i < text.size() && state != dead; ++i) state = next(state, classes_.of(text[i]));
        return state != dead && accepting(state);
    }

    /// All other strings.
    CharDfa complement() const;
    /// The strings that both hold. Throws GrammarError where that takes more than `limit` states.
    CharDfa intersected(const CharDfa& other, std::size_t limit) const;
    /// The strings of `least` to `most` characters. Throws GrammarError where that takes more than `limit` states.
    CharDfa with_length(std::uint32_t least, std::uint32_t most, std::size_t limit) const;

  private:
    static constexpr std::size_t most_cells = std::size_t{1} << 24;  ///< of a table, 64 MiB

    /// Makes the table of pairs that `step` reaches from the first one.
    template <class Step, class Accepts>
    static CharDfa explore(CharClasses classes, std::pair<int, int> first, std::size_t limit, const Step& step,
                           const Accepts& accepts);
    void trim();

    CharClasses classes_;
    std::vector<int> next_;
    std::vector<bool> accepts_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT CharDfa CharDfa::of_strings(const std::vector<std::u32string>& strings, std::size_t limit) {
    std::vector<CodePointSet> sets;
    std::vector<char32_t> characters;
    for (const auto& s : strings) characters.insert(characters.end(), s.begin(), s.end());
    std::sort(characters.begin(), characters.end());
    characters.erase(std::unique(characters.begin(), characters.end()), characters.end());
    for (const char32_t c : characters) sets.push_back(CodePointSet::one(c));
    CharClasses classes(sets);
    const auto width = static_cast<std::size_t>(classes.count());
    std::vector<int> next(width, dead);
    std::vector<bool> accepts{false};
    for (const auto& s : strings) {
        std::size_t state = 0;
        for (const char32_t c : s) {
            const std::size_t slot = state * width + static_cast<std::size_t>(classes.of(c));
            if (next[slot] == dead) {
                if (accepts.size() == limit || next.size() > most_cells)
                    throw GrammarError("names or listed strings of more than " + std::to_string(limit) +
                                       " characters that differ");
                next[slot] = static_cast<int>(accepts.size());
                accepts.push_back(false);
                next.resize(next.size() + width, dead);
            }
            state = static_cast<std::size_t>(next[slot]);
        }
        accepts[state] = true;
    }
    return CharDfa(std::move(classes), std::move(next), std::move(accepts));
}

QWEN3VL_SUPPORT void CharDfa::trim() {
    const auto width = static_cast<std::size_t>(classes_.count());
    const std::size_t n = accepts_.size();
    std::vector<std::vector<std::size_t>> before(n);
    for (std::size_t s = 0; s < n; ++s)
        for (std::size_t c = 0; c < width; ++c)
            if (const int to = next_[s * width + c]; to != dead) before[static_cast<std::size_t>(to)].push_back(s);
    std::vector<bool> useful(accepts_);
    std::vector<std::size_t> open;
    for (std::size_t s = 0; s < n; ++s)
        if (useful[s]) open.push_back(s);
    while (!open.empty()) {
        const std::size_t s = open.back();
        open.pop_back();
        for (const std::size_t from : before[s])
            if (!useful[from]) {
                useful[from] = true;
                open.push_back(from);
            }
    }
    std::vector<int> number(n, dead);
    int count = 0;
    for (std::size_t s = 0; s < n && useful[0]; ++s)
        if (useful[s]) number[s] = count++;
    std::vector<int> next;
    std::vector<bool> accepts;
    for (std::size_t s = 0; s < n; ++s) {
        if (number[s] == dead) continue;
        accepts.push_back(accepts_[s]);
        for (std::size_t c = 0; c < width; ++c) {
            const int to = next_[s * width + c];
            next.push_back(to == dead ? dead : number[static_cast<std::size_t>(to)]);
        }
    }
    next_ = std::move(next);
    accepts_ = std::move(accepts);
}

QWEN3VL_SUPPORT CharDfa CharDfa::complement() const {
    const auto sink = states();
    std::vector<int> next(next_);
    for (int& to : next)
        if (to == dead) to = sink;
    next.resize(next.size() + static_cast<std::size_t>(classes_.count()), sink);
    std::vector<bool> accepts(accepts_);
    accepts.flip();
    accepts.push_back(true);
    return CharDfa(classes_, std::move(next), std::move(accepts));
}

template <class Step, class Accepts>
CharDfa CharDfa::explore(CharClasses classes, std::pair<int, int> first, std::size_t limit, const Step& step,
                         const Accepts& accepts_pair) {
    std::map<std::pair<int, int>, int> number{{first, 0}};
    std::vector<std::pair<int, int>> pairs{first};
    std::vector<int> next;
    std::vector<bool> accepts;
    for (std::size_t s = 0; s < pairs.size(); ++s) {
        accepts.push_back(accepts_pair(pairs[s]));
        for (int c = 0; c < classes.count(); ++c) {
            const std::optional<std::pair<int, int>> to = step(pairs[s], c);
            if (!to) {
                next.push_back(dead);
                continue;
            }
            const auto [at, is_new] = number.emplace(*to, static_cast<int>(pairs.size()));
            if (is_new) pairs.push_back(*to);
            next.push_back(at->second);
        }
        if (pairs.size() > limit || next.size() > most_cells)
            throw GrammarError("the expressions and lengths need more than " + std::to_string(limit) +
                               " states together");
    }
    return CharDfa(std::move(classes), std::move(next), std::move(accepts));
}

QWEN3VL_SUPPORT CharDfa CharDfa::intersected(const CharDfa& other, std::size_t limit) const {
    if (empty()) return *this;
    if (other.empty()) return other;
    using Pair = std::pair<int, int>;
    std::vector<Pair> parts;
    CharClasses classes = CharClasses::refined(classes_, other.classes_, parts);
    return explore(
        std::move(classes), Pair{0, 0}, limit,
        [&](Pair s, int c) {
            const auto [mine, theirs] = parts[static_cast<std::size_t>(c)];
            const Pair to{next(s.first, mine), other.next(s.second, theirs)};
            return to.first == dead || to.second == dead ? std::nullopt : std::optional(to);
        },
        [&](Pair s) { return accepting(s.first) && other.accepting(s.second); });
}

QWEN3VL_SUPPORT CharDfa CharDfa::with_length(std::uint32_t least, std::uint32_t most, std::size_t limit) const {
    if (empty() || (least == 0 && most == unbounded)) return *this;
    if (least > most) return CharDfa(CharClasses(), {dead}, {false});
    using Pair = std::pair<int, int>;
    const std::uint32_t end = most == unbounded ? least : most;  // without a most, longer is all the same
    if (end > limit)
        throw GrammarError("a string length of " + std::to_string(end) + " beside another constraint; at most " +
                           std::to_string(limit) + " can be counted there");
    return explore(
        classes_, Pair{0, 0}, limit,
        [&](Pair s, int c) -> std::optional<Pair> {
            const int to = next(s.first, c);
            const bool full = static_cast<std::uint32_t>(s.second) == end;
            if (to == dead || (full && most != unbounded)) return std::nullopt;
            return Pair{to, full ? s.second : s.second + 1};
        },
        [&](Pair s) { return accepting(s.first) && static_cast<std::uint32_t>(s.second) >= least; });
}

#endif

}  // namespace qwen3vl::constrain
