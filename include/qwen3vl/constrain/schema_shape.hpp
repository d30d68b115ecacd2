#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <qwen3vl/constrain/char_dfa.hpp>
#include <qwen3vl/constrain/json_document.hpp>
#include <qwen3vl/constrain/number_rules.hpp>
#include <string>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Schemas that a value must satisfy all: sorted, each once. None: any value.
using Conjunction = std::vector<const JsonNode*>;

/// The schemas of both.
inline Conjunction both(const Conjunction& a, const Conjunction& b) {
    Conjunction out;
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
    return out;
}

/// Constraints on strings.
struct StringShape {
    std::uint32_t least = 0, most = CharDfa::unbounded;        ///< characters
    std::vector<const JsonNode*> patterns = {}, formats = {};  ///< keywords, all of which hold
    /// True if only the length matters.
    bool plain() const { return patterns.empty() && formats.empty(); }
};

/// Constraints on arrays.
struct ArrayShape {
    std::vector<Conjunction> prefix = {};                ///< of the first items
    Conjunction rest = {};                               ///< items behind the prefix
    std::uint32_t least = 0, most = CharDfa::unbounded;  ///< items
    /// The schemas of an item.
    const Conjunction& item(std::size_t i) const { return i < prefix.size() ? prefix[i] : rest; }
};

/// Constraints on objects.
struct ObjectShape {
    /// One schema's constraints on members: additionalProperties looks at what stands beside it alone.
    struct Part {
        const JsonNode* properties = nullptr;  ///< null where there are none
        const JsonNode* patterns = nullptr;    ///< patternProperties
        const JsonNode* additional = nullptr;  ///< additionalProperties
    };
    std::vector<Part> parts = {};                        ///< all of which hold
    std::vector<std::string> required = {};              ///< names, each once
    Conjunction names = {};                              ///< propertyNames
    std::uint32_t least = 0, most = CharDfa::unbounded;  ///< members
};

/// One of the ways in which a value may satisfy a schema: it has one of these types, and is as is said of its type.
struct Shape {
    /// Types, a bit each.
    enum Type : unsigned { null = 1, boolean = 2, number = 4, string = 8, array = 16, object = 32, all_types = 63 };
    unsigned types = all_types;                               ///< of which the value has one
    NumberRange numbers = {};                                 ///< holds of numbers
    StringShape strings = {};                                 ///< holds of strings
    ArrayShape arrays = {};                                   ///< holds of arrays
    ObjectShape objects = {};                                 ///< holds of objects
    std::optional<std::vector<const JsonNode*>> values = {};  ///< enum, const: only these

    /// The type of a value.
    static unsigned type_of(const JsonNode& value) { return 1u << static_cast<unsigned>(value.type); }
    /// Takes over what another says beside this.
    void narrow(const Shape& other);
};

/// True if two values are equal as JSON schema has it: numbers by value, members in any order.
bool equal_values(const JsonNode& a, const JsonNode& b);

/// Characters of UTF-8.
std::u32string code_points(const std::string& text);

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::u32string code_points(const std::string& text) {
    std::u32string out;
    for (std::size_t at = 0; at < text.size();) out += tokenizer::next_code_point(text, at);
    return out;
}

QWEN3VL_SUPPORT bool equal_values(const JsonNode& a, const JsonNode& b) {
    if (a.type != b.type || a.children.size() != b.children.size()) return false;
    switch (a.type) {
        case JsonNode::Type::null: return true;
        case JsonNode::Type::boolean: return a.value == b.value;
        case JsonNode::Type::string: return a.text == b.text;
        case JsonNode::Type::number: {
            const auto x = Decimal::parse(a.text), y = Decimal::parse(b.text);
            return x && y ? *x == *y : a.text == b.text;
        }
        case JsonNode::Type::array:
            for (std::size_t i = 0; i < a.children.size(); ++i)
                if (!equal_values(*a.children[i], *b.children[i])) return false;
            return true;
        case JsonNode::Type::object:
            for (std::size_t i = 0; i < a.by_key.size(); ++i)
                if (a.by_key[i]->key != b.by_key[i]->key || !equal_values(*a.by_key[i], *b.by_key[i])) return false;
            return true;
    }
    return false;
}

QWEN3VL_SUPPORT void Shape::narrow(const Shape& o) {
    const auto append = [](auto& to, const auto& from) {
        for (const auto& x : from)
            if (std::find(to.begin(), to.end(), x) == to.end()) to.push_back(x);
    };
    types &= o.types;
    numbers.narrow(o.numbers);
    strings.least = std::max(strings.least, o.strings.least);
    strings.most = std::min(strings.most, o.strings.most);
    append(strings.patterns, o.strings.patterns);
    append(strings.formats, o.strings.formats);
    const std::size_t prefix = std::max(arrays.prefix.size(), o.arrays.prefix.size());
    std::vector<Conjunction> items;
    for (std::size_t i = 0; i < prefix; ++i) items.push_back(both(arrays.item(i), o.arrays.item(i)));
    arrays.prefix = std::move(items);
    arrays.rest = both(arrays.rest, o.arrays.rest);
    arrays.least = std::max(arrays.least, o.arrays.least);
    arrays.most = std::min(arrays.most, o.arrays.most);
    objects.parts.insert(objects.parts.end(), o.objects.parts.begin(), o.objects.parts.end());
    append(objects.required, o.objects.required);
    objects.names = both(objects.names, o.objects.names);
    objects.least = std::max(objects.least, o.objects.least);
    objects.most = std::min(objects.most, o.objects.most);
    if (o.values && values)
        std::erase_if(*values, [&](const JsonNode* v) {
            return std::none_of(o.values->begin(), o.values->end(), [&](auto* w) { return equal_values(*v, *w); });
        });
    else if (o.values)
        values = o.values;
}

#endif

}  // namespace qwen3vl::constrain
