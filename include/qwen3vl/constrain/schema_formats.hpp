#pragma once
#include <optional>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Regular expressions of JSON schema's formats (draft 2020-12, 7.3): what they accept is of the format, though not all
/// of a format is accepted. So a hostname has at most four labels of at most 31 characters, a time no leap second, and
/// an IRI is a URI.
class SchemaFormats {
  public:
    /// The expression of a format; nothing where there is none.
    static std::optional<std::string> expression(std::string_view format);
    /// True for a format that the specification has. Others are annotations, which validators do not look at either.
    static bool specified(std::string_view format) {
        for (const std::string_view name :
             {"date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6",
              "uri", "uri-reference", "iri", "iri-reference", "uuid", "uri-template", "json-pointer",
              "relative-json-pointer", "regex"})
            if (name == format) return true;
        return false;
    }

  private:
    static std::string ipv6();
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::string SchemaFormats::ipv6() {
    const std::string group = "[0-9a-fA-F]{1,4}";
    const auto groups = [&](int n) {
        std::string out;
        for (int i = 0; i < n; ++i) out += (i > 0 ? ":" : "") + group;
        return out;
    };
    std::string out = groups(8);
    for (int before = 0; before <= 7; ++before)
        for (int after = 0; before + after <= 7; ++after) out += "|" + groups(before) + "::" + groups(after);
    return out;
}

QWEN3VL_SUPPORT std::optional<std::string> SchemaFormats::expression(std::string_view format) {
    const std::string year = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";  // 0001 to 9999
    const std::string by_four = "(?:0[48]|[2468][048]|[13579][26])";
    const std::string date = "(?:" + year +
                             "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|"
                             "02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}" +
                             by_four + "|" + by_four + "00)-02-29)";
    const std::string clock = "(?:[01][0-9]|2[0-3]):[0-5][0-9]";
    const std::string time = clock + ":[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-]" + clock + ")";
    const std::string label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,29}[A-Za-z0-9])?";
    const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}";
    const std::string character = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
    const std::string reg_name = "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*";
    const std::string user = "(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?";
    const std::string pointer = "(?:/(?:[^~/]|~[01])*)*";
    if (format == "date") return date;
    if (format == "time") return time;
    if (format == "date-time") return date + "T" + time;
    if (format == "duration") {
        const std::string n = "[0-9]{1,9}";
        const std::string hours = "(?:" + n + "H(?:" + n + "M(?:" + n + "S)?)?|" + n + "M(?:" + n + "S)?|" + n + "S)";
        const std::string days = "(?:" + n + "D|" + n + "M(?:" + n + "D)?|" + n + "Y(?:" + n + "M(?:" + n + "D)?)?)";
        return "P(?:" + days + "(?:T" + hours + ")?|T" + hours + "|" + n + "W)";
    }
    if (format == "email" || format == "idn-email")
        return atom + "(?:\\." + atom + "){0,2}@" + label + "(?:\\." + label + "){0,3}";
    if (format == "hostname" || format == "idn-hostname") return label + "(?:\\." + label + "){0,3}";
    if (format == "ipv4") {
        const std::string byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
        return byte + "(?:\\." + byte + "){3}";
    }
    if (format == "ipv6") return ipv6();
    if (format == "uri" || format == "iri" || format == "uri-reference" || format == "iri-reference")
        return "[A-Za-z][A-Za-z0-9+.-]*:(?://" + user + reg_name + "(?::[0-9]*)?(?:/" + character +
               "*)*|/(?:" + character + "+(?:/" + character + "*)*)?|" + character + "+(?:/" + character +
               "*)*)?(?:\\?(?:" + character + "|[/?])*)?(?:#(?:" + character + "|[/?])*)?";
    if (format == "uuid") return "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
    if (format == "json-pointer") return pointer;
    if (format == "relative-json-pointer") return "(?:0|[1-9][0-9]{0,8})(?:#|" + pointer + ")";
    return std::nullopt;
}

#endif

}  // namespace qwen3vl::constrain
