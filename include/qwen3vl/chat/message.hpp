#pragma once
#include <qwen3vl/core/config.hpp>
#include <string>
#include <variant>
#include <vector>

/// Conversations, their format as a prompt, and the reading of answers.
namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// Speaker of a turn; `tool` gives the result of a call.
enum class Role { system, user, assistant, tool };

/// Placeholder of a picture in a message. The n-th of a conversation is the n-th picture that is handed over with it.
struct ImagePart {
    bool operator==(const ImagePart&) const = default;
};
/// Placeholder of a clip in a message. Clips are counted apart from pictures.
struct VideoPart {
    bool operator==(const VideoPart&) const = default;
};
/// A piece of a message: text, a picture or a clip.
using Part = std::variant<std::string, ImagePart, VideoPart>;

/// A function call that the assistant made.
struct ToolCall {
    std::string name;       ///< of the function
    std::string arguments;  ///< printed as it stands; for JSON in the template's spelling see to_template_json()
    bool operator==(const ToolCall&) const = default;
};

/// One turn: `{Role::user, {ImagePart{}, "What does the sign say?"}}`.
struct Message {
    Role role = Role::user;                 ///< who speaks
    std::vector<Part> content;              ///< in the order in which it is read
    std::vector<ToolCall> tool_calls = {};  ///< calls in an assistant's message
    bool operator==(const Message&) const = default;
};

/// The turns, oldest first, and the functions that the model may call.
struct Conversation {
    std::vector<Message> messages;        ///< oldest first
    std::vector<std::string> tools = {};  ///< each a JSON object, as `{"type": "function", "function": {"name": …}}`
    bool operator==(const Conversation&) const = default;
};

}  // namespace qwen3vl::chat
