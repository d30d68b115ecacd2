// Conversations. Input: JSON as the template is given it, or, if it does not begin with '{' or '[', bytes that build a
// conversation out of roles, parts and text. Whatever the text, no control token comes out of it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/chat/encode_chat.hpp>
#include <qwen3vl/chat/message_json.hpp>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace qwen3vl;
using namespace qwen3vl::chat;

const tokenizer::Tokenizer& tokenizer() {
    static const auto tiny = tokenizer::Tokenizer::open(QWEN3VL_TEST_DATA "/tiny/tokenizer.json");
    return tiny;
}
void require(bool holds) {
    if (!holds) __builtin_trap();
}

/// Each message: a byte for the role and the number of parts; each part: a byte for the kind, and text up to a byte
/// 0x01.
Conversation build(std::string_view input) {
    Conversation out;
    const auto byte = [&] {
        const auto b = input.empty() ? 0u : static_cast<unsigned char>(input.front());
        input.remove_prefix(std::min<std::size_t>(1, input.size()));
        return b;
    };
    const auto text = [&] {
        const std::string part(input.substr(0, input.find('\x01')));
        input.remove_prefix(std::min(input.size(), part.size() + 1));
        return part;
    };
    while (!input.empty()) {
        const unsigned head = byte();
        Message m{static_cast<Role>(head % 4), {}};
        for (unsigned parts = head / 4 % 4; parts > 0; --parts) {
            const unsigned kind = byte() % 5;
            if (kind == 0)
                m.content.emplace_back(ImagePart{});
            else if (kind == 1)
                m.content.emplace_back(VideoPart{});
            else
                m.content.emplace_back(text());
        }
        if (head & 16) {
            std::string name = text();
            m.tool_calls.push_back({std::move(name), text()});
        }
        if (head & 32) out.tools.push_back(text());
        out.messages.push_back(std::move(m));
    }
    return out;
}

/// The same conversation without a word of text in it.
Conversation wordless(Conversation c) {
    for (Message& m : c.messages) {
        for (Part& p : m.content) {
            if (auto* text = std::get_if<std::string>(&p)) text->clear();
        }
        for (ToolCall& call : m.tool_calls) call = {};
    }
    for (std::string& tool : c.tools) tool = "{}";
    return c;
}

auto control_tokens(const std::vector<int>& ids) {
    return std::count_if(ids.begin(), ids.end(), [](int id) { return tokenizer().is_special(id); });
}

void check(const Conversation& conversation, FormatOptions options) {
    const EncodedPrompt prompt = encode_chat(tokenizer(), conversation, options);
    require(control_tokens(prompt.ids) ==
            control_tokens(encode_chat(tokenizer(), wordless(conversation), options).ids));
    // Where no text spells a control token, the ids are those of the whole rendered text.
    const auto whole = tokenizer().encode(render_chat(conversation, options), {.parse_special = true});
    require(whole == prompt.ids || control_tokens(whole) > control_tokens(prompt.ids));
    MediaSizes sizes;
    for (const auto& span : prompt.media) {
        if (span.media == Media::image)
            sizes.images.push_back(3);
        else
            sizes.videos.push_back({.times = {0.5, 2.5}, .tokens_per_pair = 2});
    }
    const EncodedPrompt expanded = encode_chat(tokenizer(), conversation, sizes, options);
    require(expanded.media.size() == sizes.images.size() + 2 * sizes.videos.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 8 * 1024) return 0;
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    try {
        if (input.starts_with('{') || input.starts_with('[')) {
            const ChatRequest request = request_from_json(input);
            check(request.conversation, request.options);
        } else {
            check(build(input), {.add_generation_prompt = size % 2 == 0, .add_vision_id = size % 3 == 0});
        }
    } catch (const PromptError&) {
    }
    return 0;
}
