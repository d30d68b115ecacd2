#pragma once
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// Parses JSON and keeps the order of its keys. `what` is named in errors. Throws PromptError where it is malformed, nested deeper than 64, or has an object
/// with more than 1024 keys (ordered objects are searched key by key).
inline nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& what) {
    using json = nlohmann::ordered_json;
    constexpr std::size_t deepest = 64, most_keys = 1024;
    std::vector<std::size_t> keys;  // of the objects that are open
    const auto check = [&](int, json::parse_event_t event, json&) {
        if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
            if (keys.size() == deepest) throw PromptError(what + ": nested deeper than " + std::to_string(deepest));
            keys.push_back(0);
        } else if (event == json::parse_event_t::object_end || event == json::parse_event_t::array_end) {
            keys.pop_back();
        } else if (event == json::parse_event_t::key && ++keys.back() > most_keys) {
            throw PromptError(what + ": an object with more than " + std::to_string(most_keys) + " keys");
        }
        return true;
    };
    try {
        return json::parse(text.begin(), text.end(), check);
    } catch (const json::exception& e) {
        throw PromptError(what + ": not valid JSON: " + e.what());
    }
}

/// Prints JSON as the released chat template's `tojson` does: Python's json.dumps(value, ensure_ascii=False), that is ", " and ": " between things and
/// Python's spelling of numbers.
class TemplateJson {
  public:
    static std::string print(const nlohmann::ordered_json& value) {
        std::string out;
        append(value, out);
        return out;
    }

  private:
    static void append(const nlohmann::ordered_json& value, std::string& out) {
        if (value.is_object()) {
            out += '{';
            for (auto it = value.begin(); it != value.end(); ++it) {
                if (it != value.begin()) out += ", ";
                out += nlohmann::ordered_json(it.key()).dump();
                out += ": ";
                append(it.value(), out);
            }
            out += '}';
        } else if (value.is_array()) {
            out += '[';
            for (std::size_t i = 0; i < value.size(); ++i) {
                if (i > 0) out += ", ";
                append(value[i], out);
            }
            out += ']';
        } else if (value.is_number_float()) {
            append_float(value.get<double>(), out);
        } else {
            out += value.dump();
        }
    }
    /// Python's repr: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16 on.
    static void append_float(double value, std::string& out) {
        const double size = std::abs(value);
        const bool exponent = size != 0 && (size < 1e-4 || size >= 1e16);
        std::array<char, 40> text{};
        const auto end = std::to_chars(text.data(), text.data() + text.size(), value, exponent ? std::chars_format::scientific : std::chars_format::fixed).ptr;
        const std::string_view digits(text.data(), static_cast<std::size_t>(end - text.data()));
        out += digits;
        if (!exponent && digits.find('.') == std::string_view::npos) out += ".0";
    }
};

/// JSON text in the template's spelling. `what` is named in errors. Throws PromptError where it is malformed.
inline std::string to_template_json(std::string_view text, const std::string& what = "JSON") { return TemplateJson::print(parse_ordered_json(text, what)); }

}  // namespace qwen3vl::chat
