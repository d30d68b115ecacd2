#pragma once
#include <qwen3vl/constrain/schema_rules.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT State SchemaRules::member(const std::string& name, const Conjunction& schemas) {
    const auto [known, is_new] = member_of_.emplace(std::pair(name, schemas), 0);
    if (is_new) {
        known->second = rules_.add_state();
        const State named = rules_.literal(known->second, "\"" + json_escaped(name) + "\"");
        rules_.call(separator(named, ":"), rule(schemas), rules_.add_state(true));
    }
    return known->second;
}

QWEN3VL_SUPPORT CharDfa SchemaRules::allowed_names(const ObjectShape& s) {
    CharDfa none(CharClasses(), {CharDfa::dead}, {false});
    if (s.names.empty()) return CharDfa();
    const auto shapes = reader_.shapes(s.names);
    std::optional<CharDfa> forbidden;  // by all shapes
    for (const Shape& shape : shapes) {
        if (!(shape.types & Shape::string)) continue;
        CharDfa names = reader_.strings(shape.strings);
        if (shape.values) {
            std::vector<std::u32string> listed;
            for (const JsonNode* v : *shape.values)
                if (v->is(JsonNode::Type::string)) listed.push_back(code_points(v->text));
            names = names.intersected(CharDfa::of_strings(listed, names_limit()), names_limit());
        }
        const CharDfa others = names.complement();
        forbidden = forbidden ? forbidden->intersected(others, names_limit()) : others;
    }
    return forbidden ? forbidden->complement() : none;
}

QWEN3VL_SUPPORT std::optional<State> SchemaRules::other_members(const ObjectShape& s,
                                                                const std::vector<std::string>& names) {
    std::map<std::string, const JsonNode*> patterns;  // by expression
    for (const auto& part : s.parts)
        if (part.patterns)
            for (const JsonNode* p : part.patterns->children) patterns.emplace(p->key, p);
    if (patterns.size() > 6) SchemaReader::refuse(*patterns.begin()->second->parent, "more than 6 patterns of members");
    std::vector<std::u32string> listed;
    for (const auto& n : names) listed.push_back(code_points(n));
    const CharDfa unnamed = names.empty() ? CharDfa() : CharDfa::of_strings(listed, names_limit()).complement();
    const CharDfa free = unnamed.intersected(allowed_names(s), names_limit());
    std::optional<State> out;
    for (std::size_t cell = 0; cell < (std::size_t{1} << patterns.size());
         ++cell) {  // which of the patterns a name has
        std::set<std::string> held;
        CharDfa dfa = free;
        std::size_t bit = 0;
        for (const auto& [expression, node] : patterns) {
            const bool holds = cell >> bit++ & 1;
            const CharDfa& having = reader_.dfa_of(*node);
            dfa = reader_.spent(dfa.intersected(holds ? having : having.complement(), names_limit()));
            if (holds) held.insert(expression);
        }
        if (dfa.empty()) continue;
        // No property has the name: an empty one does not either, as names are told by the caller.
        ObjectShape others = s;
        for (auto& part : others.parts) part.properties = nullptr;
        const Conjunction schemas =
            SchemaReader::member(others, {}, [&](const JsonNode& p) { return held.contains(p.key); });
        if (std::any_of(schemas.begin(), schemas.end(),
                        [](const JsonNode* n) { return n->is(JsonNode::Type::boolean) && !n->value; }))
            continue;
        if (!out) out = rules_.add_state();
        const State named = rules_.add_state();
        text_.strings(rules_.literal(*out, "\""), dfa, TextRules::Spelling::json, named);
        rules_.call(separator(named, ":"), rule(schemas), rules_.add_state(true));
    }
    return out;
}

/// Named members in the schema's order, then others. A state is left for each next member and number of members so far,
/// as far as that matters.
QWEN3VL_SUPPORT void SchemaRules::objects(const ObjectShape& s, State from, State to) {
    if (s.least > s.most) return;
    std::vector<std::string> names;
    std::set<std::string> known;
    const auto add = [&](const std::string& name) {
        if (known.insert(name).second) names.push_back(name);
    };
    for (const auto& part : s.parts)
        if (part.properties)
            for (const JsonNode* p : part.properties->children) add(p->key);
    for (const auto& name : s.required) add(name);
    const std::set<std::string> required(s.required.begin(), s.required.end());
    const std::optional<State> other = other_members(s, names);
    // Two others may have one name, and are one member then: only the first counts for minProperties.
    const std::size_t n = names.size();
    const bool limited = s.most < n || (other && s.most != CharDfa::unbounded);
    const std::size_t largest = limited ? std::max<std::size_t>(s.most, s.least) : std::max<std::size_t>(s.least, 1);
    if (s.least > n + (other ? 1 : 0) || (n + 2) * (largest + 1) > 100'000) {
        const JsonNode* at = s.parts.empty()         ? nullptr
                             : s.parts[0].properties ? s.parts[0].properties
                                                     : s.parts[0].additional;
        const std::string problem = s.least > n + (other ? 1 : 0)
                                        ? "minProperties above the number of named members is not supported"
                                        : "too many members to count for minProperties and maxProperties";
        if (at) SchemaReader::refuse(*at->parent, problem);
        throw GrammarError("schema: " + problem);
    }
    const State open = spaces(rules_.literal(from, "{")), close = rules_.add_state();
    rules_.literal(spaces(close), "}", to);
    std::vector<std::vector<std::optional<State>>> states(n + 1, std::vector<std::optional<State>>(largest + 1));
    states[0][0] = open;
    const auto state = [&](std::size_t i, std::size_t count) {
        auto& at = states[i][std::min(count, largest)];
        if (!at) at = rules_.add_state();
        return *at;
    };
    const auto may_follow = [&](std::size_t count) { return !limited || count < s.most; };
    const auto next = [&](State at, std::size_t count) { return count > 0 ? separator(at, ",") : at; };
    for (std::size_t i = 0; i < n; ++i) {
        JsonNode name;
        name.type = JsonNode::Type::string;
        name.text = names[i];
        const bool allowed = s.names.empty() || reader_.admits(s.names, name);
        const State rule = allowed ? member(names[i], reader_.member(s, names[i])) : State{0};
        for (std::size_t count = 0; count <= largest; ++count) {
            if (!states[i][count]) continue;
            const State at = *states[i][count];
            if (!required.contains(names[i])) rules_.jump(at, state(i + 1, count));
            if (allowed && may_follow(count)) rules_.call(next(at, count), rule, state(i + 1, count + 1));
        }
    }
    for (std::size_t count = 0; count <= largest; ++count) {
        if (!states[n][count]) continue;
        State at = *states[n][count];
        if (count >= s.least) {
            if (count == 0)
                rules_.literal(at, "}", to);
            else
                rules_.jump(at, close);
        }
        if (!other || !may_follow(count) || count + 1 < s.least) continue;
        const State first = rules_.add_state();
        rules_.call(next(at, count), *other, first);
        const State more = rules_.add_state();
        rules_.call(separator(more, ","), *other, rules_.add_state(true));
        const std::uint32_t most = limited ? s.most - static_cast<std::uint32_t>(count) - 1 : Rules::unbounded;
        rules_.loop(first, {more, 0, most, false}, close);
    }
}

#endif

}  // namespace qwen3vl::constrain
