#pragma once
#include <algorithm>
#include <qwen3vl/chat/json_text.hpp>
#include <qwen3vl/chat/message.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// Splits an answer into its text and the calls in it, `<tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>` one
/// after the other at its end. Where any of them is malformed the whole stays text.
std::string take_tool_calls(const std::string& answer, std::vector<ToolCall>& calls);

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::string take_tool_calls(const std::string& answer, std::vector<ToolCall>& calls) {
    constexpr std::string_view open = "<tool_call>", close = "</tool_call>", space = " \t\r\n";
    const std::size_t begin = answer.find(open);
    if (begin == std::string::npos) return answer;
    std::vector<ToolCall> found;
    for (std::size_t at = begin; at < answer.size();) {
        const std::size_t end = answer.find(close, at);
        if (answer.compare(at, open.size(), open) != 0 || end == std::string::npos) return answer;
        try {
            const TemplateJson json(std::string_view(answer).substr(at + open.size(), end - at - open.size()),
                                    "tool call");
            const auto name = json.string_member("name"), arguments = json.object_member("arguments");
            if (!name || !arguments) return answer;
            found.push_back({*name, *arguments});
        } catch (const PromptError&) {
            return answer;
        }
        at = std::min(answer.find_first_not_of(space, end + close.size()), answer.size());
    }
    calls = std::move(found);
    const std::size_t last = begin == 0 ? std::string::npos : answer.find_last_not_of(space, begin - 1);
    return last == std::string::npos ? std::string() : answer.substr(0, last + 1);
}

#endif

}  // namespace qwen3vl::chat
