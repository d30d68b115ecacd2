#pragma once
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <map>
#include <optional>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/json/json_events.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// Prints JSON as the released chat template's `tojson` does: Python's json.dumps(value, ensure_ascii=False). That puts
/// ", " and ": " between things, keeps the text's order of keys, and spells numbers as Python does.
class TemplateJson : json_reader::JsonEvents {
  public:
    /// Throws PromptError where the text is malformed, nested deeper than 64, or names a key of an object twice. `what`
    /// is named in errors.
    TemplateJson(std::string_view text, const std::string& what) : what_(what) { json_reader::read_json(text, *this); }

    /// The printed JSON.
    const std::string& text() const { return out_; }
    /// The value of a member of the outermost object that is a string; nullopt where there is none, or it is none.
    std::optional<std::string> string_member(const std::string& name) const {
        const auto it = members_.find(name);
        return it == members_.end() ? std::nullopt : it->second.string;
    }
    /// The text of a member of the outermost object that is an object.
    std::optional<std::string> object_member(const std::string& name) const {
        const auto it = members_.find(name);
        if (it == members_.end() || out_[it->second.begin] != '{') return std::nullopt;
        return out_.substr(it->second.begin, it->second.end - it->second.begin);
    }

  private:
    struct Open {
        bool is_object, is_empty = true;
        std::set<std::string> keys = {};
    };
    struct Member {
        std::size_t begin, end;  // in out_
        std::optional<std::string> string;
    };

    bool null() override { return print("null"); }
    bool boolean(bool v) override { return print(v ? "true" : "false"); }
    bool number_integer(number_integer_t v) override { return print(std::to_string(v)); }
    bool number_unsigned(number_unsigned_t v) override { return print(std::to_string(v)); }
    /// An integer of more than 64 bits comes here too.
    bool number_float(number_float_t v, const string_t& spelled) override {
        return print(spelled.find_first_of(".eE") == std::string::npos ? spelled : float_text(v));
    }
    bool string(string_t& v) override {
        print(nlohmann::json(v).dump());
        if (open_.size() == 1 && member_) member_->string = std::move(v);
        return true;
    }
    bool binary(binary_t&) override { return print("null"); }
    bool start_object(std::size_t) override { return open('{'); }
    bool start_array(std::size_t) override { return open('['); }
    bool end_object() override { return close('}'); }
    bool end_array() override { return close(']'); }
    bool key(string_t& v) override {
        if (!open_.back().keys.insert(v).second)
            throw PromptError(what_ + ": key '" + v.substr(0, 80) + "' twice in an object");
        separate();
        out_ += nlohmann::json(v).dump() + ": ";
        if (open_.size() == 1)
            member_ = &members_.emplace(std::move(v), Member{out_.size(), out_.size(), {}}).first->second;
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& e) override {
        throw PromptError(what_ + ": not valid JSON: " + e.what());
    }

    void separate() {
        if (!std::exchange(open_.back().is_empty, false)) out_ += ", ";
    }
    void begin_value() {
        if (!open_.empty() && !open_.back().is_object) separate();
    }
    bool end_value() {
        if (open_.size() == 1 && member_) member_->end = out_.size();
        return true;
    }
    bool print(const std::string& value) {
        begin_value();
        out_ += value;
        return end_value();
    }
    bool open(char bracket) {
        constexpr std::size_t deepest = 64;
        if (open_.size() == deepest) throw PromptError(what_ + ": nested deeper than " + std::to_string(deepest));
        begin_value();
        out_ += bracket;
        open_.push_back({bracket == '{'});
        return true;
    }
    bool close(char bracket) {
        open_.pop_back();
        out_ += bracket;
        return end_value();
    }
    /// Python's repr: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16 on.
    static std::string float_text(double value) {
        const double size = std::abs(value);
        const bool exponent = size != 0 && (size < 1e-4 || size >= 1e16);
        std::array<char, 40> text{};
        const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                       exponent ? std::chars_format::scientific : std::chars_format::fixed)
                             .ptr;
        const std::string digits(text.data(), end);
        return exponent || digits.find('.') != std::string::npos ? digits : digits + ".0";
    }

    const std::string& what_;
    std::string out_;
    std::vector<Open> open_;                 // objects and arrays, outermost first
    std::map<std::string, Member> members_;  // of the outermost object
    Member* member_ = nullptr;               // the last of them
};

/// JSON text in the template's spelling. Throws as TemplateJson does.
inline std::string to_template_json(std::string_view text, const std::string& what = "JSON") {
    return TemplateJson(text, what).text();
}

}  // namespace qwen3vl::chat
