#pragma once
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <qwen3vl/constrain/code_points.hpp>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// A partition of all scalar values into classes of characters that are treated alike.
class CharClasses {
  public:
    /// Characters of one class in a row.
    struct Interval {
        char32_t first;  ///< to where the next one begins
        int of;          ///< the class
    };
    /// One class of everything.
    CharClasses() : intervals_{{0, 0}} {}
    /// Classes of characters that lie in the same ones of these sets.
    explicit CharClasses(const std::vector<CodePointSet>& sets);

    /// Classes. One of them may have no characters.
    int count() const { return count_; }
    /// The class of a character.
    int of(char32_t c) const {
        const auto after = std::upper_bound(intervals_.begin(), intervals_.end(), c,
                                            [](char32_t value, const Interval& i) { return value < i.first; });
        return std::prev(after)->of;
    }
    /// The characters of each class.
    std::vector<CodePointSet> sets() const {
        std::vector<std::vector<CodePointSet::Range>> ranges(static_cast<std::size_t>(count_));
        for (std::size_t i = 0; i < intervals_.size(); ++i)
            ranges[static_cast<std::size_t>(intervals_[i].of)].push_back(
                {intervals_[i].first,
                 i + 1 < intervals_.size() ? intervals_[i + 1].first - 1 : CodePointSet::last_point});
        std::vector<CodePointSet> out;
        for (auto& r : ranges) out.emplace_back(std::move(r));
        return out;
    }
    /// The classes that two partitions make together; `parts` gets the class of either for each.
    static CharClasses refined(const CharClasses& a, const CharClasses& b, std::vector<std::pair<int, int>>& parts);

  private:
    std::vector<Interval> intervals_;
    int count_ = 1;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT CharClasses::CharClasses(const std::vector<CodePointSet>& sets) {
    std::vector<std::pair<char32_t, std::size_t>> events;  // where a set begins or ends
    for (std::size_t s = 0; s < sets.size(); ++s)
        for (const auto& r : sets[s].ranges()) {
            events.emplace_back(r.first, s);
            events.emplace_back(r.last + 1, s);
        }
    std::sort(events.begin(), events.end());
    std::map<std::vector<bool>, int> known;
    std::vector<bool> inside(sets.size());
    known.emplace(inside, 0);
    intervals_ = {{0, 0}};
    for (std::size_t i = 0; i < events.size();) {
        const char32_t at = events[i].first;
        for (; i < events.size() && events[i].first == at; ++i) inside[events[i].second].flip();
        if (at > CodePointSet::last_point) break;
        const int of = known.emplace(inside, static_cast<int>(known.size())).first->second;
        if (intervals_.back().first == at) intervals_.pop_back();
        intervals_.push_back({at, of});
    }
    count_ = static_cast<int>(known.size());
}

QWEN3VL_SUPPORT CharClasses CharClasses::refined(const CharClasses& a, const CharClasses& b,
                                                 std::vector<std::pair<int, int>>& parts) {
    CharClasses out;
    out.intervals_.clear();
    std::map<std::pair<int, int>, int> known;
    parts.clear();
    for (std::size_t i = 0, j = 0; i < a.intervals_.size() && j < b.intervals_.size();) {
        const std::pair both{a.intervals_[i].of, b.intervals_[j].of};
        const auto [at, is_new] = known.emplace(both, static_cast<int>(parts.size()));
        if (is_new) parts.push_back(both);
        out.intervals_.push_back({std::max(a.intervals_[i].first, b.intervals_[j].first), at->second});
        const auto end = [](const CharClasses& c, std::size_t k) {
            return k + 1 < c.intervals_.size() ? c.intervals_[k + 1].first : CodePointSet::last_point + 1;
        };
        const char32_t ends_a = end(a, i), ends_b = end(b, j);
        if (ends_a <= ends_b) ++i;
        if (ends_b <= ends_a) ++j;
    }
    out.count_ = static_cast<int>(parts.size());
    return out;
}

#endif

}  // namespace qwen3vl::constrain
