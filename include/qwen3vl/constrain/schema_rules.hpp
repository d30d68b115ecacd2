#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <qwen3vl/constrain/schema_reader.hpp>
#include <qwen3vl/constrain/text_rules.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Space between the parts of a JSON text.
enum class JsonSpace {
    spaced,   ///< `{"a": 1, "b": [2, 3]}`, as chat templates print JSON
    compact,  ///< `{"a":1,"b":[2,3]}`
    free,     ///< any spaces, tabs and line ends, up to 40 in a place
};

/// Turns the Shapes of a schema into Rules for the JSON texts of its values.
class SchemaRules {
  public:
    /// All of these must outlive it.
    SchemaRules(SchemaReader& reader, Rules& rules, JsonSpace space, const Limits& limits)
        : reader_(reader), rules_(rules), text_(rules), space_(space), limits_(limits) {}

    /// The rule of values that satisfy the schemas.
    State add(const Conjunction& schemas) {
        const State start = rule(schemas);
        while (!open_.empty()) {
            const auto [next, state] = open_.back();
            open_.pop_back();
            const State end = rules_.add_state(true);
            for (const Shape& s : reader_.shapes(next)) shape(s, state, end);
        }
        return start;
    }

  private:
    /// The state where the rule of these schemas begins, which is filled in later.
    State rule(const Conjunction& schemas) {
        const auto [known, is_new] = rule_of_.emplace(schemas, 0);
        if (is_new) {
            known->second = rules_.add_state();
            open_.emplace_back(schemas, known->second);
        }
        return known->second;
    }
    void shape(const Shape& s, State from, State to);
    void strings(const StringShape& s, State from, State to);
    void arrays(const ArrayShape& s, State from, State to);
    void objects(const ObjectShape& s, State from, State to);
    /// A rule that reads `"name": value`.
    State member(const std::string& name, const Conjunction& schemas);
    /// A rule that reads a member whose name is none of those; nothing where there can be none.
    std::optional<State> other_members(const ObjectShape& s, const std::vector<std::string>& names);
    /// States for the names of members, of which there may be many.
    std::size_t names_limit() const { return 4 * limits_.dfa_states; }
    CharDfa allowed_names(const ObjectShape& s);

    State spaces(State from) {
        if (space_ != JsonSpace::free) return from;
        const State next = rules_.add_state();
        rules_.call(from, space_rule(), next);
        return next;
    }
    State space_rule();
    /// Reads a comma or colon with the space around it.
    State separator(State from, std::string_view sign) {
        from = rules_.literal(spaces(from), sign);
        return space_ == JsonSpace::spaced ? rules_.literal(from, " ") : spaces(from);
    }
    std::string spelled(const JsonNode& value) const;

    SchemaReader& reader_;
    Rules& rules_;
    TextRules text_;
    JsonSpace space_;
    const Limits& limits_;
    std::map<Conjunction, State> rule_of_;
    std::map<std::pair<std::string, Conjunction>, State> member_of_;
    std::vector<std::pair<Conjunction, State>> open_;
    std::optional<State> space_rule_, free_numbers_, free_integers_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT State SchemaRules::space_rule() {
    if (space_rule_) return *space_rule_;
    constexpr int most = 40;
    State at = rules_.add_state(true);
    space_rule_ = at;
    for (int i = 0; i < most; ++i) {
        const State next = rules_.add_state(true);
        for (const char c : std::string_view(" \t\n\r")) rules_.literal(at, std::string_view(&c, 1), next);
        at = next;
    }
    return *space_rule_;
}

QWEN3VL_SUPPORT std::string SchemaRules::spelled(const JsonNode& v) const {
    const std::string_view comma = space_ == JsonSpace::compact ? "," : ", ",
                           colon = space_ == JsonSpace::compact ? ":" : ": ";
    std::string out;
    switch (v.type) {
        case JsonNode::Type::null: return "null";
        case JsonNode::Type::boolean: return v.value ? "true" : "false";
        case JsonNode::Type::number: return v.text;
        case JsonNode::Type::string: return "\"" + json_escaped(v.text) + "\"";
        case JsonNode::Type::array:
            for (const JsonNode* item : v.children) out += (out.empty() ? "" : std::string(comma)) + spelled(*item);
            return "[" + out + "]";
        case JsonNode::Type::object:
            for (const JsonNode* m : v.children) {
                if (!out.empty()) out += comma;
                out += "\"" + json_escaped(m->key) + "\"";
                out += colon;
                out += spelled(*m);
            }
            return "{" + out + "}";
    }
    return out;
}

QWEN3VL_SUPPORT void SchemaRules::shape(const Shape& s, State from, State to) {
    if (s.values) {
        for (const JsonNode* v : *s.values)
            if (reader_.admits(s, *v)) rules_.literal(from, spelled(*v), to);
        return;
    }
    if (s.types & Shape::null) rules_.literal(from, "null", to);
    if (s.types & Shape::boolean) {
        rules_.literal(from, "true", to);
        rules_.literal(from, "false", to);
    }
    if ((s.types & Shape::number) && !s.numbers.empty()) {
        if (s.numbers.bounded() || !s.numbers.multiples.empty()) {
            NumberRules::add(rules_, from, s.numbers, to, limits_.dfa_states, reader_.work);
        } else {
            auto& shared = s.numbers.integer ? free_integers_ : free_numbers_;
            if (!shared) {
                shared = rules_.add_state();
                NumberRules::add(rules_, *shared, s.numbers, rules_.add_state(true), limits_.dfa_states, reader_.work);
            }
            rules_.call(from, *shared, to);
        }
    }
    if (s.types & Shape::string) strings(s.strings, from, to);
    if (s.types & Shape::array) arrays(s.arrays, from, to);
    if (s.types & Shape::object) objects(s.objects, from, to);
}

QWEN3VL_SUPPORT void SchemaRules::strings(const StringShape& s, State from, State to) {
    if (s.least > s.most) return;
    from = rules_.literal(from, "\"");
    if (s.plain())
        text_.json_string(from, s.least, s.most, to);
    else
        text_.strings(from, reader_.strings(s), TextRules::Spelling::json, to);
}

QWEN3VL_SUPPORT void SchemaRules::arrays(const ArrayShape& s, State from, State to) {
    if (s.least > s.most) return;
    const State open = spaces(rules_.literal(from, "[")), close = rules_.add_state();
    rules_.literal(spaces(close), "]", to);
    if (s.least == 0) rules_.literal(open, "]", to);
    State at = open;
    for (std::uint32_t i = 0; i < s.most; ++i) {
        if (i > 0 && i >= s.prefix.size()) {  // all that is left has one schema
            const State item = rules_.add_state();
            rules_.call(separator(item, ","), rule(s.rest), rules_.add_state(true));
            rules_.loop(
                at, {item, s.least > i ? s.least - i : 0, s.most == CharDfa::unbounded ? s.most : s.most - i, false},
                close);
            return;
        }
        const State after = rules_.add_state();
        rules_.call(i > 0 ? separator(at, ",") : at, rule(s.item(i)), after);
        if (i + 1 >= s.least) rules_.jump(after, close);
        at = after;
    }
}

#endif

}  // namespace qwen3vl::constrain

#include <qwen3vl/constrain/schema_objects.hpp>
