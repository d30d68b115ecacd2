#pragma once
#include <qwen3vl/constrain/schema_reader.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT void SchemaReader::refuse_unsupported(const JsonNode& schema) {
    for (const char* keyword : {"not", "if", "then", "else", "contains", "minContains", "maxContains",
                                "unevaluatedItems", "unevaluatedProperties", "dependentSchemas", "dependentRequired",
                                "dependencies", "$dynamicRef", "$recursiveRef", "extends", "disallow"})
        if (const JsonNode* k = schema.find(keyword)) {
            const bool harmless = (k->is(Type::boolean) && k->value && k->key.starts_with("unevaluated")) ||
                                  (k->is(Type::object) && k->children.empty() && k->key.starts_with("depend"));
            if (!harmless) refuse(*k, "'" + k->key + "' is not supported");
        }
    const JsonNode* unique = schema.find("uniqueItems");
    if (unique && unique->is(Type::boolean) && unique->value && count(schema, "maxItems", 2) > 1)
        refuse(*unique, "'uniqueItems' is not supported");
}

QWEN3VL_SUPPORT std::uint32_t SchemaReader::count(const JsonNode& schema, std::string_view keyword,
                                                  std::uint32_t absent) {
    const JsonNode* k = schema.find(keyword);
    if (!k) return absent;
    const auto d = k->is(Type::number) ? Decimal::parse(k->text) : std::nullopt;
    if (!d || d->negative || !d->integer()) refuse(*k, "expected an integer from 0");
    return d->whole.size() > 9 ? 1'000'000'000 : static_cast<std::uint32_t>(std::stoul(d->whole));
}

QWEN3VL_SUPPORT unsigned SchemaReader::types_of(const JsonNode& keyword, bool& integer) {
    unsigned types = 0;
    bool number = false;
    const auto add = [&](const JsonNode& name) {
        constexpr std::string_view names[] = {"null", "boolean", "number", "string", "array", "object"};
        const auto* at = std::find(std::begin(names), std::end(names), name.text);
        if (!name.is(Type::string) || (at == std::end(names) && name.text != "integer"))
            refuse(name, "expected the name of a type");
        number = number || name.text == "number";
        types |= name.text == "integer" ? unsigned{Shape::number} : 1u << (at - std::begin(names));
    };
    if (keyword.is(Type::array))
        for (const JsonNode* name : keyword.children) add(*name);
    else
        add(keyword);
    integer = (types & Shape::number) && !number;
    return types;
}

QWEN3VL_SUPPORT void SchemaReader::read_numbers(const JsonNode& schema, NumberRange& out) {
    const auto bound = [&](const char* keyword) -> std::optional<Decimal> {
        const JsonNode* k = schema.find(keyword);
        if (!k || k->is(Type::boolean)) return std::nullopt;
        if (!k->is(Type::number)) refuse(*k, "expected a number");
        auto d = Decimal::parse(k->text);
        if (!d) refuse(*k, "a number of more than 400 digits");
        return d;
    };
    const auto is_true = [&](const char* keyword) {  // of draft 4
        const JsonNode* k = schema.find(keyword);
        return k && k->is(Type::boolean) && k->value;
    };
    NumberRange inclusive, exclusive;
    inclusive.least = bound("minimum");
    inclusive.most = bound("maximum");
    inclusive.above = inclusive.least && is_true("exclusiveMinimum");
    inclusive.below = inclusive.most && is_true("exclusiveMaximum");
    exclusive.least = bound("exclusiveMinimum");
    exclusive.most = bound("exclusiveMaximum");
    exclusive.above = exclusive.below = true;
    out.narrow(inclusive);
    out.narrow(exclusive);
    if (const JsonNode* k = schema.find("multipleOf")) {
        const auto d = bound("multipleOf");
        if (!d || d->negative || d->zero()) refuse(*k, "expected a number above 0");
        if (!d->integer() || d->whole.size() > 3)
            refuse(*k, "'multipleOf' is supported for integers from 1 to 999, found " + k->text.substr(0, 40));
        out.integer = true;
        out.multiples.push_back(static_cast<std::uint32_t>(std::stoul(d->whole)));
    }
    // A bound of more than 15 digits may lie between two doubles; a large one outside of all numbers that are written.
    if (out.integer) return;
    for (const char* name : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
        const auto d = bound(name);
        if (!d || d->whole.size() + d->fraction.size() <= NumberRules::digits_of_double) continue;
        const bool lower = std::string_view(name).ends_with("inimum");
        if (lower == d->negative && d->whole.size() > NumberRules::digits_of_double) continue;
        refuse(*schema.find(name), "a bound of more than 15 digits is supported for integers alone");
    }
}

QWEN3VL_SUPPORT void SchemaReader::read_strings(const JsonNode& schema, StringShape& out) {
    out.least = count(schema, "minLength", 0);
    out.most = count(schema, "maxLength", CharDfa::unbounded);
    if (const JsonNode* pattern = schema.find("pattern")) {
        if (!pattern->is(Type::string)) refuse(*pattern, "expected a string");
        dfa_of(*pattern);  // now, so that an error is told of a part that nothing comes to
        out.patterns.push_back(pattern);
    }
    const JsonNode* format = schema.find("format");
    if (!format || !format->is(Type::string) || !SchemaFormats::specified(format->text)) return;
    if (!SchemaFormats::expression(format->text)) refuse(*format, "the format '" + format->text + "' is not supported");
    out.formats.push_back(format);
}

QWEN3VL_SUPPORT void SchemaReader::read_arrays(const JsonNode& schema, ArrayShape& out) {
    out.least = count(schema, "minItems", 0);
    out.most = count(schema, "maxItems", CharDfa::unbounded);
    const JsonNode *items = schema.find("items"), *prefix = schema.find("prefixItems");
    const JsonNode* rest = items;
    if (items && items->is(Type::array)) {  // before draft 2020-12
        prefix = items;
        rest = schema.find("additionalItems");
    }
    if (prefix && !prefix->is(Type::array)) refuse(*prefix, "expected a list of schemas");
    if (prefix)
        for (const JsonNode* item : prefix->children) out.prefix.push_back({item});
    if (rest) out.rest = {rest};
}

QWEN3VL_SUPPORT void SchemaReader::read_objects(const JsonNode& schema, ObjectShape& out) {
    out.least = count(schema, "minProperties", 0);
    out.most = count(schema, "maxProperties", CharDfa::unbounded);
    const auto object = [&](const char* keyword) {
        const JsonNode* k = schema.find(keyword);
        if (k && !k->is(Type::object)) refuse(*k, "expected an object");
        return k;
    };
    static const JsonNode nothing_else = [] {
        JsonNode n;
        n.type = Type::boolean;
        return n;
    }();
    ObjectShape::Part part{object("properties"), object("patternProperties"), schema.find("additionalProperties")};
    if (close_ && part.properties && !part.additional && !part.patterns) part.additional = &nothing_else;
    if (part.patterns)
        for (const JsonNode* p : part.patterns->children) dfa_of(*p);
    if (part.properties || part.patterns || part.additional) out.parts.push_back(part);
    if (const JsonNode* required = schema.find("required"); required && required->is(Type::array))
        for (const JsonNode* name : required->children) {
            if (!name->is(Type::string)) refuse(*name, "expected a string");
            if (std::find(out.required.begin(), out.required.end(), name->text) == out.required.end())
                out.required.push_back(name->text);
        }
    if (const JsonNode* names = schema.find("propertyNames")) out.names = {names};
}

QWEN3VL_SUPPORT Shape SchemaReader::own_keywords(const JsonNode& schema) {
    Shape shape;
    if (const JsonNode* type = schema.find("type")) {
        shape.types = types_of(*type, shape.numbers.integer);
        const JsonNode* nullable = schema.find("nullable");  // of OpenAPI
        if (nullable && nullable->is(Type::boolean) && nullable->value) shape.types |= Shape::null;
    }
    read_numbers(schema, shape.numbers);
    read_strings(schema, shape.strings);
    read_arrays(schema, shape.arrays);
    read_objects(schema, shape.objects);
    if (const JsonNode* list = schema.find("enum")) {
        if (!list->is(Type::array)) refuse(*list, "expected a list");
        shape.values = list->children;
    }
    if (const JsonNode* value = schema.find("const")) {
        Shape one;
        one.values = {{value}};
        shape.narrow(one);
    }
    return shape;
}

#endif

}  // namespace qwen3vl::constrain
