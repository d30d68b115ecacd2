#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/json/json_events.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Reading of JSON files, whose content is not trusted: bounded, and with errors that name file and field.
namespace qwen3vl::inline QWEN3VL_ABI::json_reader {

/// Parses a JSON text. Throws ConfigError where it is no valid JSON, names a key of an object twice, nests deeper than
/// 64, or is larger than `limit` bytes. Takes memory of at most some twenty times the text.
inline nlohmann::json parse_json(std::string_view text, const std::string& file,
                                 std::size_t limit = std::size_t{16} << 20) {
    if (text.size() > limit)
        throw ConfigError(file + ": " + std::to_string(text.size()) + " bytes of JSON, at most " +
                          std::to_string(limit) + " are read");
    JsonTree tree(file);
    read_json(text, tree);
    return std::move(tree.root());
}

/// Origin of a field's value, for JSON that was made from another file. FieldOrigins maps the field's path to it.
struct FieldOrigin {
    std::string file, field;  ///< names in messages
};
/// Origins by a field's path: "text_config.hidden_size".
using FieldOrigins = std::map<std::string, FieldOrigin>;

/// A JSON object with its file and its path in there ("text_config"), so that every error can name both. A field that
/// is null counts as absent. The object refers to the value it was made from. The accessors throw ConfigError where a
/// field has another type than theirs.
class JsonObject {
  public:
    /// Throws ConfigError where `value` is no object.
    JsonObject(const nlohmann::json& value, std::string file, std::string path = "",
               const FieldOrigins* origins = nullptr)
        : value_(&value), file_(std::move(file)), path_(std::move(path)), origins_(origins) {
        if (!value.is_object())
            throw ConfigError(file_ + (path_.empty() ? "" : ": field '" + path_ + "'") +
                              ": expected an object, found " + text_of(value));
    }
    JsonObject(nlohmann::json&&, std::string, std::string = "", const FieldOrigins* = nullptr) = delete;

    /// Name that errors state.
    const std::string& file() const { return file_; }
    /// Path of a field as errors state it.
    std::string path(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

    /// The value of a field, or null where it is absent or null.
    const nlohmann::json* find(const std::string& key) const {
        const auto it = value_->find(key);
        return it == value_->end() || it->is_null() ? nullptr : &*it;
    }
    /// A field that is an object.
    std::optional<JsonObject> object(const std::string& key) const {
        const auto* v = find(key);
        return v ? std::optional<JsonObject>(std::in_place, *v, file_, path(key), origins_) : std::nullopt;
    }
    /// A field that is an integer; 1.0 is none.
    std::optional<std::int64_t> integer(const std::string& key) const {
        const auto* v = find(key);
        return v ? std::optional(integer_of(*v, key)) : std::nullopt;
    }
    /// A field that is a number.
    std::optional<double> number(const std::string& key) const {
        const auto* v = find(key);
        if (!v) return std::nullopt;
        if (!v->is_number()) fail(key, "a number", text_of(*v));
        return v->get<double>();
    }
    /// A field that is true or false.
    std::optional<bool> boolean(const std::string& key) const {
        const auto* v = find(key);
        if (!v) return std::nullopt;
        if (!v->is_boolean()) fail(key, "true or false", text_of(*v));
        return v->get<bool>();
    }
    /// A field that is text.
    std::optional<std::string> string(const std::string& key) const {
        const auto* v = find(key);
        if (!v) return std::nullopt;
        if (!v->is_string()) fail(key, "a string", text_of(*v));
        return v->get<std::string>();
    }
    /// A list of at most 256 integers.
    std::optional<std::vector<std::int64_t>> integers(const std::string& key) const {
        const auto* v = find(key);
        if (!v) return std::nullopt;
        if (!v->is_array()) fail(key, "a list of integers", text_of(*v));
        if (v->size() > 256) fail(key, "at most 256 integers", std::to_string(v->size()));
        std::vector<std::int64_t> list;
        for (const auto& item : *v) list.push_back(integer_of(item, key));
        return list;
    }

    /// Throws the ConfigError that says what a field should have been, by the names of its origin.
    [[noreturn]] void fail(const std::string& key, const std::string& expected, const std::string& found) const {
        if (origins_)
            if (const auto origin = origins_->find(path(key)); origin != origins_->end())
                throw ConfigError(origin->second.file, origin->second.field, expected, found);
        throw ConfigError(file_, path(key), expected, found);
    }

    /// A value as a message shows it: short, whatever it is.
    static std::string text_of(const nlohmann::json& v) {
        if (v.is_object()) return "an object";
        if (v.is_array()) return "a list of " + std::to_string(v.size());
        if (v.is_string()) {
            const auto& s = v.get_ref<const std::string&>();
            return "\"" + (s.size() > 60 ? s.substr(0, 60) + "…" : s) + "\"";
        }
        return v.dump();
    }

  private:
    std::int64_t integer_of(const nlohmann::json& v, const std::string& key) const {
        if (!v.is_number_integer()) fail(key, "an integer", text_of(v));
        if (v.is_number_unsigned() &&
            v.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            fail(key, "an integer below 2^63", text_of(v));
        }
        return v.get<std::int64_t>();
    }

    const nlohmann::json* value_;
    std::string file_, path_;
    const FieldOrigins* origins_;
};

}  // namespace qwen3vl::json_reader
