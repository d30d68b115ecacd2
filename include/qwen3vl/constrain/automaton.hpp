#pragma once
#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <qwen3vl/constrain/intern_table.hpp>
#include <qwen3vl/constrain/rules.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// A pushdown automaton of Rules: it tells which bytes may follow a text, byte by byte. Its reachable configurations
/// are found as they are needed. A configuration is a set of (state, stack) pairs, all ways in which the rules read the
/// text so far; equal stacks and equal configurations have the same number, so that a step that was taken once is a
/// table look-up.
///
/// A configuration keeps at most 1024 pairs. Ambiguous rules may have more: the answer can then be only one of those
/// that the pairs kept lead to. Used by one thread at a time.
class Automaton {
  public:
    static constexpr int dead = -1, unknown = -2;  ///< no configuration; one that was not looked for yet

    /// The rules must be finished and outlive the automaton.
    explicit Automaton(const Rules& rules) : rules_(&rules) { clear(); }

    /// The rules that it follows.
    const Rules& rules() const { return *rules_; }
    /// The configuration before any text.
    int start();
    /// The configuration after one more byte; `dead` where no answer goes on with it. Throws GrammarError beyond the
    /// limit of configurations.
    int next(int configuration, std::uint8_t byte) {
        const std::size_t slot = row(configuration) + static_cast<std::size_t>(rules_->class_of(byte));
        if (rows_[slot] == unknown) {
            const int found = step(configuration, byte);  // may move rows_
            rows_[slot] = found;
        }
        return rows_[slot];
    }
    /// The same where it is known already; `unknown` elsewhere.
    int known(int configuration, std::uint8_t byte) const {
        return rows_[row(configuration) + static_cast<std::size_t>(rules_->class_of(byte))];
    }
    /// True if the text so far is a whole answer.
    bool complete(int configuration) const { return at(configuration).complete; }
    /// True if more text may follow.
    bool continues(int configuration) const { return at(configuration).count > 0; }
    /// The only byte that may follow, where there is just one and the text is no answer yet.
    std::optional<std::uint8_t> forced(int configuration) const;
    /// The bytes that some rule reads next.
    std::bitset<256> next_bytes(int configuration) const;
    /// A configuration that goes on alike for `bytes` bytes, whatever their counters say beyond. Masks are made of it.
    int representative(int configuration, std::uint32_t bytes);
    /// Characters that may follow at most where a JSON string's characters are read, Rules::unbounded for any number;
    /// nothing elsewhere, or where something else may follow that such characters begin.
    std::optional<std::uint32_t> text_room(int configuration) const;
    /// True if each character that stands in a JSON string as it is leads back to the configuration.
    bool reads_text(int configuration);
    /// True once pairs were dropped for being too many.
    bool dropped() const { return dropped_; }

    /// Pairs looked at so far, a measure of time.
    std::uint64_t work() const { return work_; }

    /// Configurations so far.
    std::size_t size() const { return configurations_.size(); }
    /// Forgets all configurations but one, and returns its number from now on.
    int forget_others(int configuration);

  private:
    static constexpr int root = 0, no_loop = -1;
    static constexpr std::size_t widest = 1024;

    /// One open call: where to go on after it. For a loop, also how many items were begun.
    struct Frame {
        int parent, loop;
        State target;
        std::uint32_t count;
        int depth;
        bool operator==(const Frame&) const = default;
    };
    struct Item {
        State state;
        int frame;
        auto operator<=>(const Item&) const = default;
    };
    struct Configuration {
        std::uint32_t first, count;  // in items_
        bool complete;
        int representative = -1;
    };

    std::size_t row(int configuration) const { return static_cast<std::size_t>(configuration) * classes_; }
    const Configuration& at(int c) const { return configurations_[static_cast<std::size_t>(c)]; }
    const Frame& frame(int f) const { return frames_[static_cast<std::size_t>(f)]; }
    std::span<const Item> items(int c) const { return std::span(items_).subspan(at(c).first, at(c).count); }
    static std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
        h = (h ^ v) * 0x9E3779B97F4A7C15u;
        return h ^ (h >> 29);
    }
    static std::uint64_t hash_of(const Frame& f) {
        const auto word = [](auto low, auto high) {
            return std::uint64_t{static_cast<std::uint32_t>(low)} | std::uint64_t{static_cast<std::uint32_t>(high)}
                                                                        << 32;
        };
        return mix(mix(0, word(f.parent, f.loop)), word(f.target, f.count));
    }
    static std::uint64_t hash_of(std::span<const Item> list, bool complete) {
        std::uint64_t h = complete;
        for (const Item& i : list)
            h = mix(h, std::uint64_t{i.state} | std::uint64_t{static_cast<std::uint32_t>(i.frame)} << 32);
        return h;
    }

    void clear();
    int push(int parent, State target, int loop, std::uint32_t count);
    int step(int configuration, std::uint8_t byte);
    void begin_closure();
    void reach(State state, int frame);
    void leave(int frame);
    void run_loop(int loop, std::uint32_t count, State exit, int parent);
    int end_closure();

    const Rules* rules_;
    std::size_t classes_ = 1;
    std::vector<Frame> frames_;
    std::vector<Item> items_;
    std::vector<Configuration> configurations_;
    std::vector<int> rows_;
    InternTable frame_table_, configuration_table_;
    bool dropped_ = false;
    std::uint64_t work_ = 0;
    // of the closure under way
    std::vector<Item> reached_, kept_;
    std::vector<std::uint32_t> seen_at_;  // by a hash of the item: 1 + index in reached_ of the last one
    std::vector<std::uint32_t> seen_before_;
    bool complete_ = false;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT void Automaton::clear() {
    classes_ = static_cast<std::size_t>(rules_->byte_classes());
    frames_.assign(1, Frame{-1, no_loop, 0, 0, 0});
    items_.clear();
    configurations_.clear();
    rows_.clear();
    frame_table_.clear();
    configuration_table_.clear();
    seen_at_.assign(256, 0);
}

QWEN3VL_SUPPORT int Automaton::start() {
    begin_closure();
    reach(rules_->start(), root);
    return end_closure();
}

QWEN3VL_SUPPORT int Automaton::push(int parent, State target, int loop, std::uint32_t count) {
    const Frame f{parent, loop, target, count, frame(parent).depth + 1};
    const auto fresh = static_cast<int>(frames_.size());
    const int found = frame_table_.find_or_add(
        hash_of(f), fresh, [&](int i) { return frame(i) == f; }, [&](int i) { return hash_of(frame(i)); });
    if (found == fresh) frames_.push_back(f);
    return found;
}

QWEN3VL_SUPPORT int Automaton::step(int configuration, std::uint8_t byte) {
    begin_closure();
    const auto [first, count] = std::pair(at(configuration).first, at(configuration).count);
    for (std::uint32_t i = first; i < first + count; ++i) {
        const Item item = items_[i];
        for (const Rules::Edge& e : rules_->edges(item.state))
            if (e.kind == Rules::Edge::Kind::bytes && e.range.first <= byte && byte <= e.range.last)
                reach(e.target, item.frame);
    }
    return reached_.empty() && !complete_ ? dead : end_closure();
}

QWEN3VL_SUPPORT void Automaton::begin_closure() {
    for (const Item& i : reached_) seen_at_[hash_of(std::span(&i, 1), false) & (seen_at_.size() - 1)] = 0;
    reached_.clear();
    seen_before_.clear();
    complete_ = false;
}

/// Notes a pair, unless it was reached before or its rules would nest too deep.
QWEN3VL_SUPPORT void Automaton::reach(State state, int f) {
    if (frame(f).depth + rules_->need(state) > rules_->limits().depth) return;
    if (reached_.size() >= 4 * widest) {
        dropped_ = true;
        return;
    }
    ++work_;
    const Item item{state, f};
    std::uint32_t& last = seen_at_[hash_of(std::span(&item, 1), false) & (seen_at_.size() - 1)];
    for (std::uint32_t i = last; i > 0; i = seen_before_[i - 1])
        if (reached_[i - 1] == item) return;
    reached_.push_back(item);
    seen_before_.push_back(last);
    last = static_cast<std::uint32_t>(reached_.size());
}

/// Goes on behind a rule that has ended.
QWEN3VL_SUPPORT void Automaton::leave(int f) {
    if (f == root) {
        complete_ = true;
        return;
    }
    const Frame ended = frame(f);
    if (ended.loop == no_loop) return reach(ended.target, ended.parent);
    run_loop(ended.loop, ended.count, ended.target, ended.parent);
}

/// Goes on where `count` items of a loop were read.
QWEN3VL_SUPPORT void Automaton::run_loop(int index, std::uint32_t count, State exit, int parent) {
    const Rules::Loop& l = rules_->loop_at(static_cast<std::uint32_t>(index));
    if (count >= l.least) reach(exit, parent);
    if (count >= l.most) return;
    if (frame(parent).depth + rules_->need(exit) > rules_->limits().depth) return;
    const std::uint32_t begun = l.most == Rules::unbounded && count >= l.least ? count : count + 1;
    reach(l.item, push(parent, exit, index, begun));
}

/// Follows all edges that read nothing, and makes a configuration of what reads a byte. `dead` where there is nothing.
QWEN3VL_SUPPORT int Automaton::end_closure() {
    kept_.clear();
    for (std::size_t i = 0; i < reached_.size(); ++i) {
        const auto [state, f] = reached_[i];
        bool reads = false;
        for (const Rules::Edge& e : rules_->edges(state)) {
            switch (e.kind) {
                case Rules::Edge::Kind::bytes: reads = true; break;
                case Rules::Edge::Kind::jump: reach(e.target, f); break;
                case Rules::Edge::Kind::call:
                    if (rules_->is_final(e.target) && rules_->edges(e.target).empty())  // a tail call
                        reach(e.callee, f);
                    else if (frame(f).depth + rules_->need(e.target) <= rules_->limits().depth)
                        reach(e.callee, push(f, e.target, no_loop, 0));
                    break;
                case Rules::Edge::Kind::loop: run_loop(static_cast<int>(e.callee), 0, e.target, f); break;
            }
        }
        if (reads) kept_.push_back({state, f});
        if (rules_->is_final(state)) leave(f);
    }
    if (kept_.size() > widest) {
        kept_.resize(widest);
        dropped_ = true;
    }
    if (kept_.empty() && !complete_) return dead;
    std::sort(kept_.begin(), kept_.end());
    const auto fresh = static_cast<int>(configurations_.size());
    const int found = configuration_table_.find_or_add(
        hash_of(kept_, complete_), fresh,
        [&](int c) {
            return at(c).complete == complete_ && at(c).count == kept_.size() &&
                   std::equal(kept_.begin(), kept_.end(), items_.begin() + at(c).first);
        },
        [&](int c) { return hash_of(items(c), at(c).complete); });
    if (found == fresh) {
        constexpr std::size_t most = std::size_t{1} << 22;  // 64 MiB of items and frames
        if (configurations_.size() >= 2 * rules_->limits().configurations || items_.size() > most ||
            frames_.size() > most)
            throw GrammarError("the grammar needs more than " + std::to_string(2 * rules_->limits().configurations) +
                               " configurations at once");
        configurations_.push_back(
            {static_cast<std::uint32_t>(items_.size()), static_cast<std::uint32_t>(kept_.size()), complete_, -1});
        items_.insert(items_.end(), kept_.begin(), kept_.end());
        rows_.resize(rows_.size() + classes_, unknown);
    }
    return found;
}

#endif

}  // namespace qwen3vl::constrain

#include <qwen3vl/constrain/automaton_queries.hpp>
