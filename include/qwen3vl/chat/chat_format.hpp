#pragma once
#include <algorithm>
#include <qwen3vl/chat/json_text.hpp>
#include <qwen3vl/chat/message.hpp>
#include <qwen3vl/chat/segment.hpp>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// Options of the chat template.
struct FormatOptions {
    bool add_generation_prompt = true;  ///< end with the opening of the assistant's answer
    bool add_vision_id = false;         ///< "Picture 1: ", "Video 1: " before each picture and clip
};

/// Renders conversations as the chat template of the released Qwen3-VL-Instruct checkpoints does (chat_template.json).
/// That drops some things in silence, which are errors here: a system message behind the first place, and pictures in
/// system and assistant messages.
class ChatFormat {
  public:
    /// Throws PromptError where the conversation is malformed.
    static Segments render(const Conversation& conversation, FormatOptions options) {
        ChatFormat format(conversation.messages, options);
        format.check();
        format.system(conversation.tools);
        for (std::size_t i = 0; i < conversation.messages.size(); ++i) format.message(i);
        if (options.add_generation_prompt) format.markup("<|im_start|>assistant\n");
        return std::move(format.out_);
    }

  private:
    ChatFormat(const std::vector<Message>& messages, FormatOptions options) : messages_(messages), options_(options) {}

    void check() const {
        if (messages_.empty()) throw PromptError("conversation: expected at least one message, found none");
        bool answered = false;
        for (std::size_t i = 0; i < messages_.size(); ++i) {
            const Message& m = messages_[i];
            const auto refuse = [&](const std::string& what) {
                throw PromptError("conversation: message " + std::to_string(i) + ": " + what);
            };
            if (m.role == Role::system && i > 0) refuse("a system message must be the first");
            if (m.role == Role::tool && !answered) refuse("a tool's result must follow a message of the assistant");
            if (m.role != Role::assistant && !m.tool_calls.empty()) refuse("only the assistant can call tools");
            const bool media = std::any_of(m.content.begin(), m.content.end(),
                                           [](const Part& p) { return !std::holds_alternative<std::string>(p); });
            if (media && (m.role == Role::system || m.role == Role::assistant))
                refuse("pictures and clips stand only in messages of the user and of tools");
            answered = answered || m.role == Role::assistant;
        }
    }

    void markup(std::string_view text) {
        if (!out_.empty()) {
            if (auto* last = std::get_if<MarkupSegment>(&out_.back())) return void(last->text += text);
        }
        out_.push_back(MarkupSegment{std::string(text)});
    }
    void text(std::string_view text) {
        if (!text.empty()) out_.push_back(TextSegment{std::string(text)});
    }
    void media(Media kind, int& count) {
        if (options_.add_vision_id)
            markup((kind == Media::image ? "Picture " : "Video ") + std::to_string(count + 1) + ": ");
        out_.push_back(MediaSegment{kind, count++});
    }
    void content(const Message& m) {
        for (const Part& part : m.content) {
            if (const auto* words = std::get_if<std::string>(&part))
                text(*words);
            else if (std::holds_alternative<ImagePart>(part))
                media(Media::image, images_);
            else
                media(Media::video, videos_);
        }
    }

    /// The opening: a first system message, and the tools.
    void system(const std::vector<std::string>& tools) {
        const bool has_system = messages_.front().role == Role::system;
        if (!has_system && tools.empty()) return;
        markup("<|im_start|>system\n");
        if (has_system) content(messages_.front());
        if (!tools.empty()) {
            if (has_system) markup("\n\n");
            markup(
                "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                "You are provided with function signatures within <tools></tools> XML tags:\n<tools>");
            for (std::size_t i = 0; i < tools.size(); ++i) {
                markup("\n");
                text(to_template_json(tools[i], "conversation: tool " + std::to_string(i)));
            }
            markup(
                "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
                "<tool_call></tool_call> XML tags:\n"
                "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>");
        }
        markup("<|im_end|>\n");
    }

    void message(std::size_t i) {
        const Message& m = messages_[i];
        switch (m.role) {
            case Role::system: return;  // stands in the opening
            case Role::user:
                markup("<|im_start|>user\n");
                content(m);
                return markup("<|im_end|>\n");
            case Role::assistant:
                markup("<|im_start|>assistant\n");
                content(m);
                tool_calls(m);
                return markup("<|im_end|>\n");
            case Role::tool:  // results in a row share one turn
                if (messages_[i - 1].role != Role::tool) markup("<|im_start|>user");
                markup("\n<tool_response>\n");
                content(m);
                markup("\n</tool_response>");
                if (i + 1 == messages_.size() || messages_[i + 1].role != Role::tool) markup("<|im_end|>\n");
                return;
        }
        throw PromptError("conversation: message " + std::to_string(i) + ": unknown role");
    }
    void tool_calls(const Message& m) {
        bool newline = !m.content.empty();
        for (const ToolCall& call : m.tool_calls) {
            markup(newline ? "\n<tool_call>\n{\"name\": \"" : "<tool_call>\n{\"name\": \"");
            text(call.name);
            markup("\", \"arguments\": ");
            text(call.arguments);
            markup("}\n</tool_call>");
            newline = true;
        }
    }

    const std::vector<Message>& messages_;
    FormatOptions options_;
    Segments out_;
    int images_ = 0, videos_ = 0;
};

/// The conversation as segments, with a MediaSegment for each picture and clip. Throws PromptError where it is
/// malformed.
Segments render_segments(const Conversation& conversation, FormatOptions options = {});

/// The conversation as the template's text, for people to read: what a user wrote cannot be told from markup in it.
/// Throws PromptError.
std::string render_chat(const Conversation& conversation, FormatOptions options = {});

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Segments render_segments(const Conversation& conversation, FormatOptions options) {
    return ChatFormat::render(conversation, options);
}

QWEN3VL_SUPPORT std::string render_chat(const Conversation& conversation, FormatOptions options) {
    std::string out;
    for (const Segment& segment : render_segments(conversation, options)) {
        if (const auto* text = std::get_if<TextSegment>(&segment))
            out += text->text;
        else if (const auto* markup = std::get_if<MarkupSegment>(&segment))
            out += markup->text;
        else
            out += std::get<MediaSegment>(segment).media == Media::image
                       ? "<|vision_start|><|image_pad|><|vision_end|>"
                       : "<|vision_start|><|video_pad|><|vision_end|>";
    }
    return out;
}

#endif

}  // namespace qwen3vl::chat
