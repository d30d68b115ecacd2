#pragma once
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

/// A small JSON schema validator, written apart from the library's: values and not texts are looked at. Patterns are
/// std::regex, so tests keep to ASCII there.
namespace validator {

using Json = nlohmann::json;

inline std::size_t characters(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

inline bool has_type(const Json& v, const std::string& type) {
    if (type == "integer")
        return v.is_number_integer() || (v.is_number() && std::floor(v.get<double>()) == v.get<double>());
    return type == (v.is_number() ? "number" : v.type_name());
}

inline bool valid(const Json& v, const Json& schema, const Json& root);

inline bool valid_object(const Json& v, const Json& s, const Json& root) {
    const Json required = s.value("required", Json::array()), patterns = s.value("patternProperties", Json::object());
    for (const auto& name : required)
        if (!v.contains(name.get<std::string>())) return false;
    if (v.size() < s.value("minProperties", std::size_t{0}) || v.size() > s.value("maxProperties", v.size()))
        return false;
    for (const auto& [key, value] : v.items()) {
        bool told = false;
        if (s.contains("properties") && s["properties"].contains(key)) {
            told = true;
            if (!valid(value, s["properties"][key], root)) return false;
        }
        for (const auto& [pattern, sub] : patterns.items())
            if (std::regex_search(key, std::regex(pattern))) {
                told = true;
                if (!valid(value, sub, root)) return false;
            }
        if (!told && s.contains("additionalProperties") && !valid(value, s["additionalProperties"], root)) return false;
        if (s.contains("propertyNames") && !valid(Json(key), s["propertyNames"], root)) return false;
    }
    return true;
}

inline bool valid(const Json& v, const Json& s, const Json& root) {
    if (s.is_boolean()) return s.get<bool>();
    if (s.contains("$ref") && !valid(v, root.at(Json::json_pointer(s["$ref"].get<std::string>().substr(1))), root))
        return false;
    const auto all = [&](const char* keyword, auto&& holds) {
        const Json list = s.value(keyword, Json::array());
        return std::count_if(list.begin(), list.end(), holds);
    };
    const auto is_valid = [&](const Json& branch) { return valid(v, branch, root); };
    if (all("allOf", is_valid) != static_cast<long>(s.value("allOf", Json::array()).size())) return false;
    if (s.contains("anyOf") && all("anyOf", is_valid) == 0) return false;
    if (s.contains("oneOf") && all("oneOf", is_valid) != 1) return false;
    if (s.contains("type")) {
        const Json types = s["type"].is_array() ? s["type"] : Json::array({s["type"]});
        if (std::none_of(types.begin(), types.end(), [&](const Json& t) { return has_type(v, t); })) return false;
    }
    if (s.contains("enum") && all("enum", [&](const Json& x) { return x == v; }) == 0) return false;
    if (s.contains("const") && s["const"] != v) return false;
    if (v.is_number()) {
        const double x = v.get<double>();
        if (s.contains("minimum") && x < s["minimum"].get<double>()) return false;
        if (s.contains("maximum") && x > s["maximum"].get<double>()) return false;
        if (s.contains("exclusiveMinimum") && x <= s["exclusiveMinimum"].get<double>()) return false;
        if (s.contains("exclusiveMaximum") && x >= s["exclusiveMaximum"].get<double>()) return false;
        if (s.contains("multipleOf") && std::fmod(x, s["multipleOf"].get<double>()) != 0 && std::abs(x) < 1e15)
            return false;
    }
    if (v.is_string()) {
        const auto text = v.get<std::string>();
        if (characters(text) < s.value("minLength", std::size_t{0})) return false;
        if (characters(text) > s.value("maxLength", characters(text))) return false;
        if (s.contains("pattern") && !std::regex_search(text, std::regex(s["pattern"].get<std::string>())))
            return false;
    }
    if (v.is_array()) {
        if (v.size() < s.value("minItems", std::size_t{0}) || v.size() > s.value("maxItems", v.size())) return false;
        const Json prefix = s.value("prefixItems", Json::array());
        for (std::size_t i = 0; i < v.size(); ++i)
            if (!valid(v[i], i < prefix.size() ? prefix[i] : s.value("items", Json(true)), root)) return false;
    }
    return !v.is_object() || valid_object(v, s, root);
}

}  // namespace validator
