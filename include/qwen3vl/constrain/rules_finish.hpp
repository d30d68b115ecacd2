#pragma once
#include <qwen3vl/constrain/rules.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

#if QWEN3VL_DEFINES_SUPPORT

/// Leads edges past states that only jump on, so that a call at the end of a rule is seen as one.
QWEN3VL_SUPPORT void Rules::skip_jumps() {
    const auto only_jumps = [&](State s) {
        const Building& b = building_[s];
        return !b.final && b.edges.size() == 1 && b.edges[0].kind == Edge::Kind::jump;
    };
    for (Building& b : building_)
        for (Edge& e : b.edges)
            for (int hops = 0; hops < 64 && only_jumps(e.target); ++hops)
                e.target = building_[e.target].edges[0].target;
}

/// For each state, those with an edge that leads to it or calls it.
QWEN3VL_SUPPORT std::vector<std::vector<State>> Rules::users() const {
    std::vector<std::vector<State>> before(building_.size());
    for (State s = 0; s < building_.size(); ++s)
        for (const Edge& e : building_[s].edges) {
            before[e.target].push_back(s);
            if (e.kind == Edge::Kind::call) before[e.callee].push_back(s);
            if (e.kind == Edge::Kind::loop) before[loops_[e.callee].item].push_back(s);
        }
    return before;
}

/// The least solution of need = min over edges, by repeated relaxation backwards along the edges.
QWEN3VL_SUPPORT void Rules::find_needs() {
    need_.assign(building_.size(), never);
    const auto before = users();
    std::vector<State> changed;
    for (State s = 0; s < building_.size(); ++s)
        if (building_[s].final) {
            need_[s] = 0;
            changed.push_back(s);
        }
    while (!changed.empty()) {
        const State s = changed.back();
        changed.pop_back();
        for (const State from : before[s]) {
            std::uint16_t least = need_[from];
            for (const Edge& e : building_[from].edges) least = std::min(least, need_by(e));
            if (least < need_[from]) {
                need_[from] = least;
                changed.push_back(from);
            }
        }
    }
}

QWEN3VL_SUPPORT std::optional<State> Rules::empty_cycle() const {
    std::vector<bool> empty(building_.size());  // states from where a rule may end without a byte
    const auto passes = [&](const Edge& e) {
        switch (e.kind) {
            case Edge::Kind::bytes: return false;
            case Edge::Kind::jump: return true;
            case Edge::Kind::call: return bool{empty[e.callee]};
            case Edge::Kind::loop: return loops_[e.callee].least == 0 || empty[loops_[e.callee].item];
        }
        return false;
    };
    const auto before = users();
    std::vector<State> changed;
    for (State s = 0; s < building_.size(); ++s)
        if (building_[s].final) {
            empty[s] = true;
            changed.push_back(s);
        }
    while (!changed.empty()) {
        const State s = changed.back();
        changed.pop_back();
        for (const State from : before[s]) {
            const auto& edges = building_[from].edges;
            if (empty[from] ||
                std::none_of(edges.begin(), edges.end(), [&](const Edge& e) { return passes(e) && empty[e.target]; }))
                continue;
            empty[from] = true;
            changed.push_back(from);
        }
    }
    for (const Loop& l : loops_)
        if (empty[l.item]) return l.item;
    enum : char { fresh, open, done };
    std::vector<char> seen(building_.size(), fresh);
    std::vector<std::pair<State, std::size_t>>
        path;  // and the step that comes next: twice the edge, plus 1 past a call
    for (State root = 0; root < building_.size(); ++root) {
        if (seen[root] == fresh) path.emplace_back(root, 0);
        seen[root] = seen[root] == fresh ? char{open} : seen[root];
        while (!path.empty()) {
            auto& [s, step] = path.back();
            if (step == 2 * building_[s].edges.size()) {
                seen[s] = done;
                path.pop_back();
                continue;
            }
            const Edge& e = building_[s].edges[step / 2];
            const bool behind = step++ % 2 == 1;
            if (e.kind == Edge::Kind::bytes) continue;
            const State callee = e.kind == Edge::Kind::loop ? loops_[e.callee].item : e.callee;
            if (behind ? !passes(e) : e.kind == Edge::Kind::jump) continue;
            const State to = behind ? e.target : callee;
            if (seen[to] == open) return to;
            if (seen[to] == done) continue;
            seen[to] = open;
            path.emplace_back(to, 0);
        }
    }
    return std::nullopt;
}

QWEN3VL_SUPPORT void Rules::finish(State start, const std::array<bool, 256>& alphabet) {
    start_ = start;
    for (Building& b : building_) {
        std::vector<Edge> kept;
        for (const Edge& e : b.edges) {
            if (e.kind != Edge::Kind::bytes) {
                kept.push_back(e);
                continue;
            }
            for (int first = e.range.first; first <= e.range.last; ++first) {  // runs of bytes of the alphabet
                if (!alphabet[static_cast<std::size_t>(first)]) continue;
                int last = first;
                while (last < e.range.last && alphabet[static_cast<std::size_t>(last + 1)]) ++last;
                Edge part = e;
                part.range = {static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(last)};
                kept.push_back(part);
                first = last;
            }
        }
        b.edges = std::move(kept);
    }
    skip_jumps();
    find_needs();
    if (need_[start] > limits_.depth)
        throw GrammarError(need_[start] == never
                               ? "nothing satisfies it: no finite answer is allowed"
                               : "every answer nests deeper than " + std::to_string(limits_.depth) + " calls of rules");
    std::array<bool, 257> boundary{};
    edges_.clear();
    first_edge_.assign(1, 0);
    final_.clear();
    for (const Building& b : building_) {
        for (const Edge& e : b.edges) {
            if (need_by(e) == never) continue;
            edges_.push_back(e);
            if (e.kind == Edge::Kind::bytes) boundary[e.range.first] = boundary[e.range.last + std::size_t{1}] = true;
        }
        first_edge_.push_back(static_cast<std::uint32_t>(edges_.size()));
        final_.push_back(b.final);
    }
    for (Loop& l : loops_)
        if (need_[l.item] == never) l.most = 0;
    int c = 0;
    for (std::size_t byte = 0; byte < 256; ++byte) {
        if (byte > 0 && boundary[byte]) ++c;
        class_of_[byte] = static_cast<std::uint8_t>(c);
    }
    byte_classes_ = c + 1;
}

#endif

}  // namespace qwen3vl::constrain
