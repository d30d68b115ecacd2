#pragma once
#include <qwen3vl/core/config.hpp>
#include <string>
#include <string_view>

#include <utf8proc.h>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// The first code point of a text and how many bytes it takes; -1 and 1 where they are no UTF-8.
inline std::pair<utf8proc_int32_t, std::size_t> first_code_point(std::string_view text) {
    utf8proc_int32_t c = -1;
    const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                    static_cast<utf8proc_ssize_t>(text.size()), &c);
    return n > 0 ? std::pair{c, static_cast<std::size_t>(n)} : std::pair{utf8proc_int32_t{-1}, std::size_t{1}};
}

/// True if Python's str.strip() takes the code point for white space.
inline bool is_space(utf8proc_int32_t c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f) || c == 0x85 || c == 0x2028 || c == 0x2029 ||
           (c >= 0 && utf8proc_category(c) == UTF8PROC_CATEGORY_ZS);
}

/// An instruction without white space around it, and with a full stop where its last character is no punctuation
/// (`Qwen3VLEmbedder.format_model_input`). Empty where nothing but white space is there.
inline std::string as_sentence(std::string_view text) {
    std::size_t begin = text.size(), end = 0;
    utf8proc_int32_t last = -1;
    for (std::size_t at = 0; at < text.size();) {
        const auto [c, bytes] = first_code_point(text.substr(at));
        if (!is_space(c)) {
            begin = std::min(begin, at);
            end = at + bytes;
            last = c;
        }
        at += bytes;
    }
    if (end == 0) return {};
    std::string out(text.substr(begin, end - begin));
    const int category = last < 0 ? 0 : static_cast<int>(utf8proc_category(last));
    if (category < UTF8PROC_CATEGORY_PC || category > UTF8PROC_CATEGORY_PO) out += '.';
    return out;
}

}  // namespace qwen3vl::detail
