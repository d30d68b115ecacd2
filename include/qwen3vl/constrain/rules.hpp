#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <qwen3vl/constrain/code_points.hpp>
#include <qwen3vl/constrain/limits.hpp>
#include <qwen3vl/core/error.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// A state of Rules.
using State = std::uint32_t;

/// A grammar over bytes as a recursive transition network: states with edges that read a byte, go on without one, call
/// a rule (the rule's start state stands for it) or run a rule over and over with a counter. A state that is final ends
/// the rule it belongs to.
///
/// Built by adding; finish() then leaves only what lies on some finite text, so that a run over the network that has
/// come anywhere can come to the end.
class Rules {
  public:
    /// A number of repetitions without end.
    static constexpr std::uint32_t unbounded = std::numeric_limits<std::uint32_t>::max();
    /// A way from one state to another.
    struct Edge {
        /// Reads a byte, reads nothing, calls a rule or runs a loop.
        enum class Kind : std::uint8_t { bytes, jump, call, loop };
        Kind kind = Kind::bytes;   ///< what it does
        ByteRange range;           ///< of kind bytes
        std::uint32_t callee = 0;  ///< a rule's start state, or the index of a loop
        State target = 0;          ///< where it leads
    };
    /// `item` over and over, from `least` to `most` times (unbounded: without end). It must read at least a byte.
    struct Loop {
        State item = 0;                             ///< the rule that is repeated
        std::uint32_t least = 0, most = unbounded;  ///< how often
        bool text = false;  ///< characters of a JSON string, behind which only its closing quote stands
    };

    /// No states yet.
    explicit Rules(const Limits& limits = {}) : limits_(limits) { limits_.depth = std::clamp(limits.depth, 1, 4096); }

    /// A new state. Throws GrammarError beyond Limits::states.
    State add_state(bool final = false) {
        if (building_.size() >= limits_.states)
            throw GrammarError("the grammar needs more than " + std::to_string(limits_.states) + " states");
        building_.push_back({{}, final, false});
        return static_cast<State>(building_.size() - 1);
    }
    /// Makes a state the end of its rule.
    void set_final(State s) { building_[s].final = true; }
    /// Tells that any characters that stand in a JSON string as they are can be read from here on.
    void set_text(State s) { building_[s].text = true; }
    /// Adds an edge that reads a byte of the range.
    void bytes(State from, ByteRange range, State to) { add(from, {Edge::Kind::bytes, range, 0, to}); }
    /// Adds an edge that reads nothing.
    void jump(State from, State to) { add(from, {Edge::Kind::jump, {}, 0, to}); }
    /// Adds an edge that reads what a rule reads.
    void call(State from, State rule, State to) { add(from, {Edge::Kind::call, {}, rule, to}); }
    /// Adds an edge that reads what a loop reads.
    void loop(State from, const Loop& loop, State to) {
        loops_.push_back(loop);
        add(from, {Edge::Kind::loop, {}, static_cast<std::uint32_t>(loops_.size() - 1), to});
    }
    /// Reads exactly this text; returns the state behind it.
    State literal(State from, std::string_view text) {
        for (const char c : text) {
            const State next = add_state();
            const auto byte = static_cast<std::uint8_t>(c);
            bytes(from, {byte, byte}, next);
            from = next;
        }
        return from;
    }
    /// Reads exactly this text, and leads to `to`.
    void literal(State from, std::string_view text, State to) {
        const State end = literal(from, text.substr(0, text.empty() ? 0 : text.size() - 1));
        if (text.empty()) return jump(from, to);
        const auto byte = static_cast<std::uint8_t>(text.back());
        bytes(end, {byte, byte}, to);
    }
    /// The state of which Loop::text items begin, once there is one.
    State json_char = unbounded;

    /// A rule that calls itself before it reads a byte, or repeats what may be empty; nothing where there is none.
    /// Before finish().
    std::optional<State> empty_cycle() const;

    /// Ends the building. Bytes outside of `alphabet` lead nowhere. Throws GrammarError where nothing can be answered,
    /// or nothing of at most Limits::depth.
    void finish(State start, const std::array<bool, 256>& alphabet);
    /// A copy in which bytes outside of `alphabet` lead nowhere; of a finished grammar. Throws as finish().
    Rules restricted(const std::array<bool, 256>& alphabet) const {
        Rules copy = *this;
        copy.finish(start_, alphabet);
        return copy;
    }

    /// The state where answers begin.
    State start() const { return start_; }
    /// The edges of a state, after finish().
    std::span<const Edge> edges(State s) const {
        return std::span(edges_).subspan(first_edge_[s], first_edge_[s + 1] - first_edge_[s]);
    }
    /// True if set_text() was told so.
    bool is_text(State s) const { return building_[s].text; }
    /// True if the state ends its rule.
    bool is_final(State s) const { return final_[s]; }
    /// The fewest calls that are open at once on some way to the end of the rule.
    std::uint16_t need(State s) const { return need_[s]; }
    /// The loop that an edge names.
    const Loop& loop_at(std::uint32_t index) const { return loops_[index]; }
    /// The limits that it was made with.
    const Limits& limits() const { return limits_; }
    /// States.
    std::size_t size() const { return final_.size(); }
    /// Classes of bytes that all edges take alike.
    int byte_classes() const { return byte_classes_; }
    /// The class of a byte, from 0.
    int class_of(std::uint8_t byte) const { return class_of_[byte]; }

  private:
    static constexpr std::uint16_t never = std::numeric_limits<std::uint16_t>::max();
    struct Building {
        std::vector<Edge> edges;
        bool final = false, text = false;
    };
    void add(State from, const Edge& e) { building_[from].edges.push_back(e); }
    /// What need(from) is by this edge alone.
    std::uint16_t need_by(const Edge& e) const {
        const auto deeper = [](std::uint16_t n) { return n == never ? never : static_cast<std::uint16_t>(n + 1); };
        switch (e.kind) {
            case Edge::Kind::bytes:
            case Edge::Kind::jump: return need_[e.target];
            case Edge::Kind::call: return std::max(need_[e.target], deeper(need_[e.callee]));
            case Edge::Kind::loop: {
                const Loop& l = loops_[e.callee];
                if (l.most < l.least) return never;
                return l.least == 0 ? need_[e.target] : std::max(need_[e.target], deeper(need_[l.item]));
            }
        }
        return never;
    }
    std::vector<std::vector<State>> users() const;
    void skip_jumps();
    void find_needs();

    Limits limits_;
    std::vector<Building> building_;
    std::vector<Loop> loops_;
    State start_ = 0;
    std::vector<Edge> edges_;
    std::vector<std::uint32_t> first_edge_;
    std::vector<bool> final_;
    std::vector<std::uint16_t> need_;
    std::array<std::uint8_t, 256> class_of_{};
    int byte_classes_ = 1;
};

}  // namespace qwen3vl::constrain

#include <qwen3vl/constrain/rules_finish.hpp>
