#pragma once
#include <algorithm>
#include <cstddef>
#include <deque>
#include <limits>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/json/json_events.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// A value of a JSON text. Members keep their order, numbers their spelling.
struct JsonNode {
    /// Types of JSON.
    enum class Type { null, boolean, number, string, array, object };
    Type type = Type::null;                 ///< of the value
    bool value = false;                     ///< of a boolean
    std::string text;                       ///< a number as it is spelled, a string's characters
    std::string key;                        ///< under which its parent has it
    const JsonNode* parent = nullptr;       ///< null for the root
    std::vector<const JsonNode*> children;  ///< items, or values of members
    std::vector<const JsonNode*> by_key;    ///< of an object, sorted

    /// True for a value of the type.
    bool is(Type t) const { return type == t; }
    /// The member of an object with this key, or null.
    const JsonNode* find(std::string_view name) const {
        const auto at = std::lower_bound(by_key.begin(), by_key.end(), name,
                                         [](const JsonNode* n, std::string_view k) { return n->key < k; });
        return at == by_key.end() || (*at)->key != name ? nullptr : *at;
    }
    /// The place of the value: a JSON pointer as a fragment ("#/properties/a~1b", RFC 6901).
    std::string pointer() const {
        if (!parent) return "#";
        std::string out = parent->pointer() + "/";
        for (const char c : key.substr(0, 80)) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
        return out;
    }
};

/// A JSON text as a tree.
class JsonDocument : json_reader::JsonEvents {
  public:
    /// Throws GrammarError where the text is no JSON, nests deeper than 128, has a key twice in an object or more than
    /// 500,000 values. `what` is named in errors.
    JsonDocument(std::string_view text, std::string what) : what_(std::move(what)) {
        json_reader::read_json(text, *this);
    }
    JsonDocument(const JsonDocument&) = delete;
    JsonDocument& operator=(const JsonDocument&) = delete;

    /// The value of the whole text.
    const JsonNode& root() const { return nodes_.front(); }

  private:
    using Type = JsonNode::Type;
    static constexpr std::size_t deepest = 128, most_nodes = 500'000;

    [[noreturn]] void fail(const std::string& problem) const { throw GrammarError(what_ + ": " + problem); }
    JsonNode& add(Type type, std::string text = {}) {
        if (nodes_.size() == most_nodes) fail("more than " + std::to_string(most_nodes) + " values");
        JsonNode& n = nodes_.emplace_back();
        n.type = type;
        n.text = std::move(text);
        if (!open_.empty()) {
            JsonNode& parent = *open_.back();
            n.parent = &parent;
            n.key = parent.is(Type::array) ? std::to_string(parent.children.size()) : std::exchange(key_, {});
            parent.children.push_back(&n);
        }
        return n;
    }
    bool open(Type type) {
        if (open_.size() == deepest) fail("nested deeper than " + std::to_string(deepest));
        open_.push_back(&add(type));
        return true;
    }
    bool close() {
        JsonNode& n = *open_.back();
        if (n.is(Type::object)) {
            n.by_key = n.children;
            std::sort(n.by_key.begin(), n.by_key.end(), [](auto* a, auto* b) { return a->key < b->key; });
            const auto twin =
                std::adjacent_find(n.by_key.begin(), n.by_key.end(), [](auto* a, auto* b) { return a->key == b->key; });
            if (twin != n.by_key.end()) fail((*twin)->pointer() + ": a key twice in an object");
        }
        open_.pop_back();
        return true;
    }

    bool null() override { return add(Type::null), true; }
    bool boolean(bool v) override { return add(Type::boolean).value = v, true; }
    bool number_integer(number_integer_t v) override { return add(Type::number, std::to_string(v)), true; }
    bool number_unsigned(number_unsigned_t v) override { return add(Type::number, std::to_string(v)), true; }
    bool number_float(number_float_t, const string_t& spelled) override { return add(Type::number, spelled), true; }
    bool string(string_t& v) override { return add(Type::string, std::move(v)), true; }
    bool binary(binary_t&) override { return add(Type::null), true; }
    bool start_object(std::size_t) override { return open(Type::object); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(Type::array); }
    bool end_array() override { return close(); }
    bool key(string_t& v) override {
        key_ = std::move(v);
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& e) override {
        fail("not valid JSON: " + std::string(e.what()).substr(0, 200));
    }

    std::string what_, key_;
    std::deque<JsonNode> nodes_;  // addresses stay
    std::vector<JsonNode*> open_;
};

}  // namespace qwen3vl::constrain
