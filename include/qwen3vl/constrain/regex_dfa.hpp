#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <qwen3vl/constrain/char_dfa.hpp>
#include <qwen3vl/constrain/regex_syntax.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Turns a regular expression into a CharDfa: Thompson's construction, then sets of states.
class RegexDfa {
  public:
    /// The expression is the whole text, or is found somewhere in it.
    enum class Match { whole, anywhere };

    /// Throws GrammarError, which names `where`, for an expression that is malformed, not supported, needs more than
    /// `limit` states or more than `work` steps. Those that were taken are subtracted from `work`.
    static CharDfa compile(std::string_view pattern, Match match, std::size_t limit, const std::string& where,
                           std::uint64_t& work) {
        RegexDfa dfa(limit, where, work);
        const RegexNode tree = RegexSyntax::parse(pattern, where);
        const int start = dfa.add(), begin = dfa.add(), end = dfa.add();
        dfa.accept_ = end;
        if (match == Match::anywhere) {
            dfa.edge(start, CodePointSet::all(), dfa.prefix_ = dfa.add());
            dfa.edge(dfa.prefix_, CodePointSet::all(), dfa.prefix_);
            dfa.at(dfa.prefix_).jumps.push_back(begin);
            dfa.universal_ = end;
        }
        dfa.at(start).jumps.push_back(begin);
        dfa.fragment(tree, begin, end);
        return dfa.determinise(start);
    }

  private:
    struct Nfa {
        std::vector<int> jumps, at_begin, at_end;  ///< edges that read nothing: always, only at that end of the text
        std::vector<std::pair<int, int>> edges;    ///< set, target
    };
    using States = std::vector<int>;

    RegexDfa(std::size_t limit, const std::string& where, std::uint64_t& work)
        : limit_(limit), where_(where), work_(work) {}

    [[noreturn]] void refuse_size() const {
        throw GrammarError(where_ + ": the regular expression needs more than " + std::to_string(limit_) + " states");
    }
    void spend(std::uint64_t steps) const {
        if (steps > work_) throw GrammarError(where_ + ": the regular expressions take too long");
        work_ -= steps;
    }
    Nfa& at(int s) { return nfa_[static_cast<std::size_t>(s)]; }
    int add() {
        if (nfa_.size() > 8 * limit_) refuse_size();
        spend(1);
        nfa_.emplace_back();
        return static_cast<int>(nfa_.size()) - 1;
    }
    void edge(int from, const CodePointSet& set, int to) {
        auto known = std::find(sets_.begin(), sets_.end(), set);
        if (known == sets_.end()) known = sets_.insert(known, set);
        if (sets_.size() > 1024) refuse_size();
        at(from).edges.emplace_back(static_cast<int>(known - sets_.begin()), to);
    }
    void fragment(const RegexNode& node, int from, int to);
    States closed(States seeds, bool at_begin, bool at_end);
    CharDfa determinise(int start);

    std::size_t limit_;
    const std::string& where_;
    std::uint64_t& work_;
    std::vector<Nfa> nfa_;
    std::vector<CodePointSet> sets_;
    int accept_ = -1, prefix_ = -1, universal_ = -1;
    std::vector<std::uint32_t> seen_;  ///< in which closure a state was reached last
    std::uint32_t closures_ = 0;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT void RegexDfa::fragment(const RegexNode& node, int from, int to) {
    switch (node.kind) {
        case RegexNode::Kind::set: return edge(from, node.set, to);
        case RegexNode::Kind::begin: return at(from).at_begin.push_back(to);
        case RegexNode::Kind::end: return at(from).at_end.push_back(to);
        case RegexNode::Kind::choice:
            for (const RegexNode& child : node.children) fragment(child, from, to);
            return;
        case RegexNode::Kind::sequence:
            for (const RegexNode& child : node.children) {
                const int next = add();
                fragment(child, from, next);
                from = next;
            }
            return at(from).jumps.push_back(to);
        case RegexNode::Kind::repeat: {
            const RegexNode& item = node.children[0];
            for (std::uint32_t i = 0; i < node.least; ++i) {
                const int next = add();
                fragment(item, from, next);
                from = next;
            }
            if (node.most == RegexNode::unbounded) {
                const int again = add();
                at(from).jumps.push_back(again);
                const int next = add();
                fragment(item, again, next);
                at(next).jumps.push_back(again);
                return at(again).jumps.push_back(to);
            }
            for (std::uint32_t i = node.least; i < node.most; ++i) {
                at(from).jumps.push_back(to);
                const int next = add();
                fragment(item, from, next);
                from = next;
            }
            return at(from).jumps.push_back(to);
        }
    }
}

QWEN3VL_SUPPORT RegexDfa::States RegexDfa::closed(States seeds, bool at_begin, bool at_end) {
    seen_.resize(nfa_.size());
    ++closures_;
    for (const int s : seeds) seen_[static_cast<std::size_t>(s)] = closures_;
    const auto follow = [&](const std::vector<int>& targets) {
        for (const int t : targets)
            if (std::exchange(seen_[static_cast<std::size_t>(t)], closures_) != closures_) seeds.push_back(t);
    };
    for (std::size_t i = 0; i < seeds.size(); ++i) {
        const Nfa& n = at(seeds[i]);
        follow(n.jumps);
        if (at_begin) follow(n.at_begin);
        if (at_end) follow(n.at_end);
    }
    std::sort(seeds.begin(), seeds.end());
    return seeds;
}

QWEN3VL_SUPPORT CharDfa RegexDfa::determinise(int start) {
    CharClasses classes(sets_);
    const auto width = static_cast<std::size_t>(classes.count());
    std::vector<std::vector<bool>> in_set(sets_.size(), std::vector<bool>(width));  // [set, class]
    const auto parts = classes.sets();
    for (std::size_t s = 0; s < sets_.size(); ++s)
        for (std::size_t c = 0; c < width; ++c)
            in_set[s][c] = !parts[c].empty() && sets_[s].contains(parts[c].ranges()[0].first);
    const auto holds = [](const States& s, int x) { return std::binary_search(s.begin(), s.end(), x); };

    std::map<States, int> number;
    std::vector<States> found;
    std::vector<bool> accepts;
    const auto number_of = [&](States s, bool first) {
        // Where the expression was found, whatever follows is the same.
        if (universal_ >= 0 && holds(s, universal_)) s = {universal_};
        const auto [it, is_new] = number.emplace(std::move(s), static_cast<int>(found.size()));
        if (is_new) {
            if (found.size() >= limit_) refuse_size();
            found.push_back(it->first);
            accepts.push_back(holds(closed(it->first, first, true), accept_));
        }
        return it->second;
    };
    std::vector<int> next;
    number_of(closed({start}, true, false), true);
    for (std::size_t i = 0; i < found.size(); ++i)
        for (std::size_t c = 0; c < width; ++c) {
            if (found[i] == States{universal_}) {
                next.push_back(static_cast<int>(i));
                continue;
            }
            States to;
            const States from = found[i];
            for (const int s : from)
                for (const auto& [set, target] : at(s).edges)
                    if (in_set[static_cast<std::size_t>(set)][c]) to.push_back(target);
            std::sort(to.begin(), to.end());
            to.erase(std::unique(to.begin(), to.end()), to.end());
            spend(from.size() + 1);
            next.push_back(to.empty() ? CharDfa::dead : number_of(closed(std::move(to), false, false), false));
        }
    return CharDfa(std::move(classes), std::move(next), std::move(accepts));
}

#endif

}  // namespace qwen3vl::constrain
