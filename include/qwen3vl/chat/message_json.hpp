#pragma once
#include <qwen3vl/chat/chat_format.hpp>
#include <qwen3vl/chat/json_text.hpp>
#include <qwen3vl/chat/message.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// A conversation with the options that stand beside it in its JSON.
struct ChatRequest {
    Conversation conversation;  ///< messages and tools
    FormatOptions options;      ///< as they stand beside the messages; defaults where they do not
};

/// Parses JSON and keeps the order of its keys. `what` is named in errors. Throws PromptError where it is malformed,
/// nested deeper than 64, or has an object with more than 1024 keys: ordered objects are searched key by key.
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

/// Reads conversations from JSON in the format that the released template is given. Messages have `role`, `tool_calls`
/// and `content`: a string, or a list of `{"type": "text", "text": …}`, `{"type": "image"}`, `{"type": "video"}`.
/// Beside them stand `tools`, `add_vision_id`, `add_generation_prompt`. The picture itself, where a part names one, is
/// not read.
class MessageReader {
  public:
    using json = nlohmann::ordered_json;  ///< JSON that keeps the order of keys

    /// Reads a list of messages, or an object with `messages` and what stands beside them. Throws PromptError where a
    /// member is missing or of another type.
    static ChatRequest request(const json& value) {
        if (value.is_array()) return {{messages(value), {}}, {}};
        ChatRequest out;
        out.conversation.messages = messages(member(value, "messages", "conversation"));
        if (has(value, "tools")) {
            if (!value["tools"].is_array()) refuse("tools", "an array", value["tools"]);
            for (const json& tool : value["tools"]) out.conversation.tools.push_back(to_template_json(tool.dump()));
        }
        out.options.add_generation_prompt = flag(value, "add_generation_prompt", out.options.add_generation_prompt);
        out.options.add_vision_id = flag(value, "add_vision_id", out.options.add_vision_id);
        return out;
    }

    /// Reads a list of messages. Throws PromptError, which names the message and member.
    static std::vector<Message> messages(const json& list) {
        if (!list.is_array()) refuse("messages", "an array", list);
        std::vector<Message> out;
        for (std::size_t i = 0; i < list.size(); ++i)
            out.push_back(message(list[i], "messages[" + std::to_string(i) + "]"));
        return out;
    }

  private:
    [[noreturn]] static void refuse(const std::string& field, const std::string& expected, const json& found) {
        const bool is_short =
            found.is_primitive() && !(found.is_string() && found.get_ref<const std::string&>().size() > 80);
        throw PromptError("conversation: field '" + field + "': expected " + expected + ", found " +
                          (is_short ? found.dump() : std::string(found.type_name())));
    }
    static bool has(const json& object, const char* name) { return object.contains(name) && !object[name].is_null(); }
    static const json& member(const json& object, const char* name, const std::string& path) {
        if (!object.is_object()) refuse(path, "an object", object);
        if (!object.contains(name)) throw PromptError("conversation: field '" + path + "." + name + "' is missing");
        return object[name];
    }
    static std::string string(const json& object, const char* name, const std::string& path) {
        const json& value = member(object, name, path);
        if (!value.is_string()) refuse(path + "." + name, "a string", value);
        return value.get<std::string>();
    }
    static bool flag(const json& object, const char* name, bool absent) {
        if (!has(object, name)) return absent;
        if (!object[name].is_boolean()) refuse(name, "true or false", object[name]);
        return object[name].get<bool>();
    }

    static Message message(const json& value, const std::string& path) {
        Message out;
        const std::string role = string(value, "role", path);
        if (role == "system")
            out.role = Role::system;
        else if (role == "user")
            out.role = Role::user;
        else if (role == "assistant")
            out.role = Role::assistant;
        else if (role == "tool")
            out.role = Role::tool;
        else
            refuse(path + ".role", "system, user, assistant or tool", value["role"]);
        out.content = content(member(value, "content", path), path + ".content");
        if (has(value, "tool_calls")) {
            const json& calls = value["tool_calls"];
            if (!calls.is_array()) refuse(path + ".tool_calls", "an array", calls);
            for (std::size_t i = 0; i < calls.size(); ++i)
                out.tool_calls.push_back(tool_call(calls[i], path + ".tool_calls[" + std::to_string(i) + "]"));
        }
        return out;
    }

    static std::vector<Part> content(const json& value, const std::string& path) {
        std::vector<Part> out;
        if (value.is_string()) {
            if (!value.get_ref<const std::string&>().empty()) out.emplace_back(value.get<std::string>());
            return out;
        }
        if (!value.is_array()) refuse(path, "a string or an array", value);
        for (std::size_t i = 0; i < value.size(); ++i) {
            const std::string where = path + "[" + std::to_string(i) + "]";
            const std::string type = string(value[i], "type", where);
            if (type == "text")
                out.emplace_back(string(value[i], "text", where));
            else if (type == "image" || type == "image_url")
                out.emplace_back(ImagePart{});
            else if (type == "video")
                out.emplace_back(VideoPart{});
            else
                refuse(where + ".type", "text, image or video", value[i]["type"]);
        }
        return out;
    }

    /// Arguments are an object, or a string, which the template prints as it stands.
    static ToolCall tool_call(const json& value, const std::string& path) {
        const bool nested = value.is_object() && has(value, "function");
        const json& function = nested ? value["function"] : value;
        const std::string where = nested ? path + ".function" : path;
        const json& arguments = member(function, "arguments", where);
        return {string(function, "name", where),
                arguments.is_string() ? arguments.get<std::string>() : to_template_json(arguments.dump())};
    }
};

/// Reads `{"messages": […], "tools": […], …}`, or just the list of messages. Throws PromptError where the text is
/// malformed.
inline ChatRequest request_from_json(std::string_view text) {
    return MessageReader::request(parse_ordered_json(text, "conversation"));
}

/// The messages of the same text.
inline std::vector<Message> messages_from_json(std::string_view text) {
    return request_from_json(text).conversation.messages;
}

}  // namespace qwen3vl::chat
