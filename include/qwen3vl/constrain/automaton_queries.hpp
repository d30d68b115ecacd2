#pragma once
#include <qwen3vl/constrain/automaton.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::optional<std::uint8_t> Automaton::forced(int configuration) const {
    if (complete(configuration)) return std::nullopt;
    std::optional<std::uint8_t> only;
    for (const Item& item : items(configuration))
        for (const Rules::Edge& e : rules_->edges(item.state)) {
            if (e.kind != Rules::Edge::Kind::bytes) continue;
            if (e.range.first != e.range.last || (only && *only != e.range.first)) return std::nullopt;
            only = e.range.first;
        }
    return only;
}

QWEN3VL_SUPPORT std::bitset<256> Automaton::next_bytes(int configuration) const {
    std::bitset<256> bytes;
    for (const Item& item : items(configuration))
        for (const Rules::Edge& e : rules_->edges(item.state)) {
            if (e.kind != Rules::Edge::Kind::bytes) continue;
            for (std::size_t b = e.range.first; b <= e.range.last; ++b) bytes.set(b);
        }
    return bytes;
}

QWEN3VL_SUPPORT int Automaton::representative(int configuration, std::uint32_t bytes) {
    if (at(configuration).representative >= 0) return at(configuration).representative;
    int found = configuration;
    if (!dropped_) {
        std::vector<std::pair<int, int>> renamed;  // frames, and what they became
        const auto clamped = [&](auto&& self, int f) -> int {
            if (f == root) return root;
            for (const auto& [from, to] : renamed)
                if (from == f) return to;
            const Frame old = frame(f);
            const int parent = self(self, old.parent);
            std::uint32_t count = old.count;
            if (old.loop != no_loop) {
                const Rules::Loop& l = rules_->loop_at(static_cast<std::uint32_t>(old.loop));
                if (l.least > count && l.least - count > bytes)
                    count = l.least - bytes - 1;
                else if (l.most != Rules::unbounded && count >= l.least && l.most - count > bytes)
                    count = l.most - bytes - 1;
            }
            const int to = parent == old.parent && count == old.count ? f : push(parent, old.target, old.loop, count);
            renamed.emplace_back(f, to);
            return to;
        };
        std::vector<Item> changed(items(configuration).begin(), items(configuration).end());
        for (Item& i : changed) i.frame = clamped(clamped, i.frame);
        begin_closure();
        complete_ = complete(configuration);
        for (const Item& i : changed) reach(i.state, i.frame);
        found = end_closure();
        if (found == dead) found = configuration;
    }
    configurations_[static_cast<std::size_t>(configuration)].representative = found;
    return found;
}

QWEN3VL_SUPPORT std::optional<std::uint32_t> Automaton::text_room(int configuration) const {
    std::optional<std::uint32_t> room;
    bool others = false;
    for (const Item& item : items(configuration)) {
        // its characters may call a rule and run a loop
        if (rules_->is_text(item.state) && frame(item.frame).depth + 2 <= rules_->limits().depth)
            return Rules::unbounded;
        const int loop = item.state == rules_->json_char ? frame(item.frame).loop : no_loop;
        if (loop != no_loop && rules_->loop_at(static_cast<std::uint32_t>(loop)).text) {
            const std::uint32_t most = rules_->loop_at(static_cast<std::uint32_t>(loop)).most;
            const std::uint32_t left = most == Rules::unbounded ? most : most - frame(item.frame).count + 1;
            room = std::max(room.value_or(0), left);
            continue;
        }
        for (const Rules::Edge& e : rules_->edges(item.state))
            if (e.kind == Rules::Edge::Kind::bytes)
                others = others || e.range.first != e.range.last ||
                         (e.range.first >= 0x20 && e.range.first != '"' && e.range.first != '\\');
    }
    return others && room != Rules::unbounded ? std::nullopt : room;
}

QWEN3VL_SUPPORT bool Automaton::reads_text(int c) {
    for (int byte = 0x20; byte < 0x80; ++byte)
        if (byte != '"' && byte != '\\' && next(c, static_cast<std::uint8_t>(byte)) != c) return false;
    for (const ByteSequence& s : utf8_sequences(
             CodePointSet({{0x80, CodePointSet::last_point}}))) {  // all bytes of a range lead to one configuration
        int at = c;
        for (std::size_t i = 0; i < s.length; ++i) {
            const int to = next(at, s.bytes[i].first);
            for (int byte = s.bytes[i].first; byte <= s.bytes[i].last; ++byte)
                if (to == dead || next(at, static_cast<std::uint8_t>(byte)) != to) return false;
            at = to;
        }
        if (at != c) return false;
    }
    return true;
}

QWEN3VL_SUPPORT int Automaton::forget_others(int configuration) {
    const std::vector<Item> kept(items(configuration).begin(), items(configuration).end());
    const bool was_complete = complete(configuration);
    const std::vector<Frame> old = frames_;
    clear();
    std::vector<int> renamed(old.size(), -1);
    renamed[root] = root;
    const auto rename = [&](int f) {
        std::vector<int> chain;
        for (; renamed[static_cast<std::size_t>(f)] < 0; f = old[static_cast<std::size_t>(f)].parent)
            chain.push_back(f);
        int to = renamed[static_cast<std::size_t>(f)];
        for (auto i = chain.rbegin(); i != chain.rend(); ++i) {
            const Frame& was = old[static_cast<std::size_t>(*i)];
            to = renamed[static_cast<std::size_t>(*i)] = push(to, was.target, was.loop, was.count);
        }
        return to;
    };
    begin_closure();
    complete_ = was_complete;
    for (const Item& i : kept) reach(i.state, rename(i.frame));
    return end_closure();
}

#endif

}  // namespace qwen3vl::constrain
