#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <qwen3vl/constrain/regex_dfa.hpp>
#include <qwen3vl/constrain/rules.hpp>
#include <qwen3vl/constrain/schema_formats.hpp>
#include <qwen3vl/constrain/schema_shape.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Reads JSON schemas (draft 2020-12, and what older drafts spell otherwise) into Shapes. What is not supported is
/// refused by name and place; keywords that the specification does not have, and annotations, are passed over.
class SchemaReader {
  public:
    /// The document and the limits must outlive the reader. `close`: objects with `properties` that say nothing of
    /// other members have none.
    SchemaReader(const JsonNode& root, const Limits& limits, bool close)
        : root_(root), limits_(limits), close_(close), work(limits.work) {}

    /// The ways in which a value may satisfy all of these schemas. Throws GrammarError.
    std::vector<Shape> shapes(const Conjunction& schemas);
    /// True if a value satisfies all of these schemas.
    bool admits(const Conjunction& schemas, const JsonNode& value) {
        for (const Shape& s : shapes(schemas))
            if (admits(s, value)) return true;
        return false;
    }
    /// True if a value is as a shape has it.
    bool admits(const Shape& shape, const JsonNode& value);
    /// The schemas of a member. `matches` tells for each pattern of patternProperties whether its name has it.
    template <class Matches>
    static Conjunction member(const ObjectShape& o, std::string_view name, const Matches& matches);
    /// The schemas of the member of a name.
    Conjunction member(const ObjectShape& o, const std::string& name) {
        return member(o, name, [&](const JsonNode& pattern) { return dfa_of(pattern).accepts(code_points(name)); });
    }
    /// The strings of a shape. Throws GrammarError where they take too many states.
    CharDfa strings(const StringShape& s);
    /// The strings that have a pattern of `pattern`, or as key of `patternProperties`, or are of a `format`.
    const CharDfa& dfa_of(const JsonNode& keyword);

    /// Counts what a combination of strings took.
    CharDfa spent(CharDfa dfa) {
        const auto steps = static_cast<std::uint64_t>(dfa.states()) * static_cast<std::uint64_t>(dfa.classes().count());
        if (steps > work) throw GrammarError("schema: the regular expressions take too long");
        work -= steps;
        return dfa;
    }

    /// Throws GrammarError, which names the place.
    [[noreturn]] static void refuse(const JsonNode& at, const std::string& problem) {
        throw GrammarError("schema: " + at.pointer() + ": " + problem);
    }

  private:
    using Type = JsonNode::Type;

    std::vector<Shape> expand(const JsonNode& schema);
    std::vector<Shape> expand_new(const JsonNode& schema);
    std::vector<Shape> product(const std::vector<Shape>& a, const std::vector<Shape>& b, const JsonNode& at);
    Shape own_keywords(const JsonNode& schema);
    void read_numbers(const JsonNode& schema, NumberRange& out);
    void read_strings(const JsonNode& schema, StringShape& out);
    void read_arrays(const JsonNode& schema, ArrayShape& out);
    void read_objects(const JsonNode& schema, ObjectShape& out);
    static void refuse_unsupported(const JsonNode& schema);
    const JsonNode& target(const JsonNode& ref);
    /// True if nothing satisfies the shape, as far as this looks: `depth` levels.
    bool nothing(const Shape& shape, int depth);
    bool nothing(const Conjunction& schemas, int depth);
    static std::uint32_t count(const JsonNode& schema, std::string_view keyword, std::uint32_t absent);
    static unsigned types_of(const JsonNode& keyword, bool& integer);

    const JsonNode& root_;
    const Limits& limits_;
    bool close_;

  public:
    std::uint64_t work;  ///< steps that regular expressions may still take

  private:
    std::map<const JsonNode*, std::vector<Shape>> known_;
    std::vector<const JsonNode*> open_;  ///< being expanded
    std::map<std::string, CharDfa> dfas_;
    std::size_t products_ = 0;
};

template <class Matches>
Conjunction SchemaReader::member(const ObjectShape& o, std::string_view name, const Matches& matches) {
    Conjunction out;
    for (const ObjectShape::Part& part : o.parts) {
        const JsonNode* own = part.properties ? part.properties->find(name) : nullptr;
        bool told = own != nullptr;
        if (own) out.push_back(own);
        if (part.patterns)
            for (const JsonNode* p : part.patterns->children)
                if (matches(*p)) {
                    told = true;
                    out.push_back(p);
                }
        if (!told && part.additional) out.push_back(part.additional);
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::vector<Shape> SchemaReader::shapes(const Conjunction& schemas) {
    std::vector<Shape> out{Shape{}};
    for (const JsonNode* s : schemas) out = product(out, expand(*s), *s);
    return out;
}

QWEN3VL_SUPPORT std::vector<Shape> SchemaReader::product(const std::vector<Shape>& a, const std::vector<Shape>& b,
                                                         const JsonNode& at) {
    std::vector<Shape> out;
    for (const Shape& x : a)
        for (const Shape& y : b) {
            if (++products_ > 200'000) refuse(at, "too many combinations of alternatives");
            Shape s = x;
            s.narrow(y);
            if (s.types == 0 || (s.values && s.values->empty())) continue;
            if (out.size() == 1024) refuse(at, "more than 1024 combinations of alternatives");
            out.push_back(std::move(s));
        }
    return out;
}

QWEN3VL_SUPPORT std::vector<Shape> SchemaReader::expand(const JsonNode& schema) {
    if (const auto known = known_.find(&schema); known != known_.end()) return known->second;
    if (std::find(open_.begin(), open_.end(), &schema) != open_.end())
        refuse(schema, "refers to itself without anything between");
    if (open_.size() > 200) refuse(schema, "references and alternatives nest deeper than 200");
    open_.push_back(&schema);
    auto out = expand_new(schema);
    open_.pop_back();
    return known_.emplace(&schema, std::move(out)).first->second;
}

QWEN3VL_SUPPORT std::vector<Shape> SchemaReader::expand_new(const JsonNode& schema) {
    if (schema.is(Type::boolean)) return schema.value ? std::vector<Shape>{Shape{}} : std::vector<Shape>{};
    if (!schema.is(Type::object)) refuse(schema, "expected a schema, an object or a boolean");
    refuse_unsupported(schema);
    std::vector<Shape> out{own_keywords(schema)};
    const auto list = [&](const char* keyword) {
        const JsonNode* branches = schema.find(keyword);
        if (branches && (!branches->is(Type::array) || branches->children.empty()))
            refuse(*branches, "expected a list of schemas");
        return branches;
    };
    if (const JsonNode* ref = schema.find("$ref")) out = product(out, expand(target(*ref)), *ref);
    if (const JsonNode* all = list("allOf"))
        for (const JsonNode* branch : all->children) out = product(out, expand(*branch), *branch);
    if (const JsonNode* any = list("anyOf")) {
        std::vector<Shape> branches;
        for (const JsonNode* branch : any->children)
            for (const Shape& s : expand(*branch)) branches.push_back(s);
        out = product(out, branches, *any);
    }
    if (const JsonNode* one = list("oneOf")) {
        std::vector<std::vector<Shape>> branches;
        for (const JsonNode* branch : one->children) branches.push_back(product(out, expand(*branch), *branch));
        for (std::size_t i = 0; i < branches.size(); ++i)
            for (std::size_t j = i + 1; j < branches.size(); ++j)
                for (const Shape& common : product(branches[i], branches[j], *one))
                    if (!nothing(common, 3))
                        refuse(*one, "branches " + std::to_string(i) + " and " + std::to_string(j) +
                                         " may both hold; use anyOf, or tell them apart by type or by a required "
                                         "property with a const");
        out.clear();
        for (auto& branch : branches) out.insert(out.end(), branch.begin(), branch.end());
    }
    return out;
}

QWEN3VL_SUPPORT const JsonNode& SchemaReader::target(const JsonNode& ref) {
    if (!ref.is(Type::string)) refuse(ref, "expected a string");
    std::string path = ref.text;
    if (const JsonNode* id = root_.find("$id");
        id && id->is(Type::string) && !id->text.empty() && path.starts_with(id->text))
        path.erase(0, id->text.size());
    if (!path.starts_with("#")) {
        if (!path.empty())
            refuse(ref, "'" + ref.text.substr(0, 80) + "' is not supported: only references into the schema itself");
    } else {
        path.erase(0, 1);
    }
    const JsonNode* at = &root_;
    if (!path.empty() && path[0] != '/') {  // an anchor
        std::vector<const JsonNode*> rest{&root_};
        while (!rest.empty()) {
            const JsonNode* n = rest.back();
            rest.pop_back();
            const JsonNode* anchor = n->find("$anchor");
            if (anchor && anchor->is(Type::string) && anchor->text == path) return *n;
            rest.insert(rest.end(), n->children.begin(), n->children.end());
        }
        refuse(ref, "'" + ref.text.substr(0, 80) + "' is not in the schema");
    }
    for (std::size_t from = 1; from <= path.size() && !path.empty();) {
        const std::size_t end = std::min(path.find('/', from), path.size());
        std::string key;
        for (std::size_t i = from; i < end; ++i) {
            if (path[i] == '~' && i + 1 < end) {
                key += path[++i] == '1' ? '/' : '~';
            } else if (path[i] == '%' && i + 2 < end) {
                unsigned value = 0;
                for (int digit = 0; digit < 2; ++digit) {
                    const char c = path[++i];
                    if (!std::isxdigit(static_cast<unsigned char>(c)))
                        refuse(ref, "a '%' without two hexadecimal digits");
                    value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
                }
                key += static_cast<char>(value);
            } else {
                key += path[i];
            }
        }
        const JsonNode* next = at->is(Type::object) ? at->find(key) : nullptr;
        if (at->is(Type::array))
            for (const JsonNode* item : at->children)
                if (item->key == key) next = item;
        if (!next) refuse(ref, "'" + ref.text.substr(0, 80) + "' is not in the schema");
        at = next;
        from = end + 1;
    }
    return *at;
}

#endif

}  // namespace qwen3vl::constrain

#include <qwen3vl/constrain/schema_values.hpp>
