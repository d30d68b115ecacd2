#pragma once
#include <qwen3vl/constrain/schema_reader.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT bool SchemaReader::nothing(const Conjunction& schemas, int depth) {
    if (depth == 0) return false;
    // What is being expanded is not known yet: it may hold something.
    for (const JsonNode* s : schemas)
        if (std::find(open_.begin(), open_.end(), s) != open_.end()) return false;
    for (const Shape& s : shapes(schemas))
        if (!nothing(s, depth)) return false;
    return true;
}

QWEN3VL_SUPPORT bool SchemaReader::nothing(const Shape& s, int depth) {
    if (s.values)
        return std::none_of(s.values->begin(), s.values->end(), [&](const JsonNode* v) { return admits(s, *v); });
    if (s.types & (Shape::null | Shape::boolean)) return false;
    if ((s.types & Shape::number) && !s.numbers.empty()) return false;
    if ((s.types & Shape::string) && s.strings.least <= s.strings.most &&
        (s.strings.plain() || !strings(s.strings).empty()))
        return false;
    if ((s.types & Shape::array) && s.arrays.least <= s.arrays.most) {
        bool some = false;
        for (std::size_t i = 0; i < std::min<std::size_t>(s.arrays.least, s.arrays.prefix.size() + 1); ++i)
            some = some || nothing(s.arrays.item(i), depth - 1);
        if (!some) return false;
    }
    if ((s.types & Shape::object) && s.objects.least <= s.objects.most) {
        bool some = false;
        for (const std::string& name : s.objects.required) some = some || nothing(member(s.objects, name), depth - 1);
        if (!some && s.objects.required.size() <= s.objects.most) return false;
    }
    return true;
}

QWEN3VL_SUPPORT bool SchemaReader::admits(const Shape& s, const JsonNode& v) {
    if (!(s.types & Shape::type_of(v))) return false;
    if (s.values && std::none_of(s.values->begin(), s.values->end(), [&](auto* x) { return equal_values(*x, v); }))
        return false;
    const auto within = [](std::size_t n, std::uint32_t least, std::uint32_t most) { return n >= least && n <= most; };
    switch (v.type) {
        case Type::null:
        case Type::boolean: return true;
        case Type::number: {
            const auto d = Decimal::parse(v.text);
            return d && s.numbers.holds(*d);
        }
        case Type::string: {
            const std::u32string text = code_points(v.text);
            const auto holds = [&](const JsonNode* p) { return dfa_of(*p).accepts(text); };
            return within(text.size(), s.strings.least, s.strings.most) &&
                   std::all_of(s.strings.patterns.begin(), s.strings.patterns.end(), holds) &&
                   std::all_of(s.strings.formats.begin(), s.strings.formats.end(), holds);
        }
        case Type::array:
            if (!within(v.children.size(), s.arrays.least, s.arrays.most)) return false;
            for (std::size_t i = 0; i < v.children.size(); ++i)
                if (!admits(s.arrays.item(i), *v.children[i])) return false;
            return true;
        case Type::object:
            if (!within(v.children.size(), s.objects.least, s.objects.most)) return false;
            for (const std::string& name : s.objects.required)
                if (!v.find(name)) return false;
            for (const JsonNode* m : v.children) {
                JsonNode name;
                name.type = Type::string;
                name.text = m->key;
                if (!admits(s.objects.names, name) || !admits(member(s.objects, m->key), *m)) return false;
            }
            return true;
    }
    return false;
}

QWEN3VL_SUPPORT const CharDfa& SchemaReader::dfa_of(const JsonNode& keyword) {
    const bool format = keyword.key == "format" && keyword.is(Type::string) && SchemaFormats::specified(keyword.text);
    const bool pattern = keyword.key == "pattern" && keyword.is(Type::string);
    const std::string& text = format || pattern ? keyword.text : keyword.key;
    const auto [known, is_new] = dfas_.try_emplace((format ? "format " : "pattern ") + text);
    if (is_new)
        known->second = RegexDfa::compile(format ? *SchemaFormats::expression(text) : text,
                                          format ? RegexDfa::Match::whole : RegexDfa::Match::anywhere,
                                          limits_.dfa_states, "schema: " + keyword.pointer(), work);
    return known->second;
}

QWEN3VL_SUPPORT CharDfa SchemaReader::strings(const StringShape& s) {
    CharDfa dfa;
    for (const auto* list : {&s.patterns, &s.formats})
        for (const JsonNode* p : *list) dfa = spent(dfa.intersected(dfa_of(*p), limits_.dfa_states));
    return spent(dfa.with_length(s.least, s.most, limits_.dfa_states));
}

#endif

}  // namespace qwen3vl::constrain
