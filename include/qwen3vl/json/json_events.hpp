#pragma once
#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::json_reader {

/// Events of a JSON text, in its order. Readers of JSON files derive from it, so that the parser is compiled once.
using JsonEvents = nlohmann::json_sax<nlohmann::json>;

/// Tells `events` what the text holds. Where the text is no JSON, `events.parse_error` is called, which throws.
[[gnu::noinline]] inline void read_json(std::string_view text, JsonEvents& events) {
    // nlohmann::json::sax_parse without its readers of five binary formats, which no call could leave out.
    auto input = nlohmann::detail::input_adapter(text.data(), text.data() + text.size());
    nlohmann::detail::parser<nlohmann::json, decltype(input)>(std::move(input)).sax_parse(&events);
}

/// Makes the tree of a JSON text. Throws ConfigError where the text is no JSON, nests deeper than 64, has an object
/// with a key twice, or holds more than `most_values` values.
class JsonTree : public JsonEvents {
  public:
    /// `file` is what errors name; it has to outlive the tree.
    explicit JsonTree(const std::string& file, std::size_t most_values = std::numeric_limits<std::size_t>::max())
        : file_(file), most_values_(most_values) {}

    /// The tree, whole once read_json() has returned.
    nlohmann::json& root() { return root_; }

    bool null() override { return value(nullptr); }
    bool boolean(bool v) override { return value(v); }
    bool number_integer(number_integer_t v) override { return value(v); }
    bool number_unsigned(number_unsigned_t v) override { return value(v); }
    bool number_float(number_float_t v, const string_t&) override { return value(v); }
    bool string(string_t& v) override { return value(std::move(v)); }
    bool binary(binary_t&) override { return value("binary"); }
    bool start_object(std::size_t) override { return open(nlohmann::json::object()); }
    bool key(string_t& v) override {
        key_ = std::move(v);
        return true;
    }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(nlohmann::json::array()); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& e) override {
        fail("not valid JSON: " + std::string(e.what()).substr(0, 200));
    }

  protected:
    /// Throws ConfigError with the file's name before the message.
    [[noreturn]] void fail(const std::string& what) const { throw ConfigError(file_ + ": " + what); }
    /// Puts a value where the text has come to, and returns it.
    virtual nlohmann::json* place(nlohmann::json&& v) {
        if (values_++ == most_values_) fail("more than " + std::to_string(most_values_) + " values");
        if (stack_.empty()) return &(root_ = std::move(v));
        nlohmann::json& parent = *stack_.back();
        if (parent.is_array()) return &parent.emplace_back(std::move(v));
        const auto [at, is_new] = parent.emplace(key_, std::move(v));
        if (!is_new) fail("field '" + key_.substr(0, 80) + "': expected each key once in an object, found it twice");
        return &*at;
    }

    const std::string& file_;  ///< named in errors
    std::string key_;          ///< of the value that comes next, where it stands in an object
    std::vector<nlohmann::json*>
        stack_;  ///< the open objects and arrays; a parent does not grow while its child is open

  private:
    static constexpr std::size_t deepest = 64;

    bool value(nlohmann::json&& v) {
        place(std::move(v));
        return true;
    }
    bool open(nlohmann::json&& v) {
        if (stack_.size() == deepest) fail("JSON nested deeper than " + std::to_string(deepest));
        stack_.push_back(place(std::move(v)));
        return true;
    }
    bool close() {
        stack_.pop_back();
        return true;
    }

    nlohmann::json root_;
    std::size_t values_ = 0, most_values_;
};

}  // namespace qwen3vl::json_reader
