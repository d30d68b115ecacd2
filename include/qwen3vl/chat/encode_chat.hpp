#pragma once
#include <cstdint>
#include <qwen3vl/chat/chat_format.hpp>
#include <qwen3vl/chat/expand_media.hpp>
#include <qwen3vl/tokenizer/prompt_builder.hpp>
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// Span of a prompt's pad tokens for a picture, or for one frame pair of a clip.
struct MediaSpan {
    Media media = Media::image;         ///< a picture, or a clip
    int index = 0;                      ///< index among pictures, or among clips, in order of appearance
    int pair = 0;                       ///< frame pair; 0 for a picture
    std::int64_t begin = 0, count = 0;  ///< tokens [begin, begin + count) of the prompt
    bool operator==(const MediaSpan&) const = default;
};

/// A tokenised prompt.
struct EncodedPrompt {
    std::vector<int> ids;          ///< of all tokens, pads included
    std::vector<MediaSpan> media;  ///< in order of appearance
};

/// Tokenises segments. Added tokens come only out of markup, pads and media, never out of text. As long as no text
/// spells an added token, the ids are those of the whole prompt encoded with `parse_special`. A MediaSegment that was
/// not expanded counts one pad. Throws TokenizerError where the tokenizer lacks a token that a picture or clip needs,
/// PromptError for a negative number of pads.
EncodedPrompt encode_segments(const tokenizer::Tokenizer& tokenizer, const Segments& segments);

/// Throws TokenizerError unless the tokenizer has the control tokens that every message of the template needs.
inline void require_chat_tokens(const tokenizer::Tokenizer& tokenizer) {
    for (const char* token : {"<|im_start|>", "<|im_end|>"}) {
        if (!tokenizer.added_token_id(token))
            throw TokenizerError(tokenizer.file() + ": expected an added token '" + token + "', found none");
    }
}

/// Renders and tokenises a conversation; each picture and clip counts one pad. Throws PromptError where the
/// conversation is malformed, TokenizerError where the tokenizer lacks the template's control tokens.
EncodedPrompt encode_chat(const tokenizer::Tokenizer& tokenizer, const Conversation& conversation,
                          FormatOptions options = {});

/// Renders and tokenises a conversation with as many pads as pictures and clips of these sizes need. Throws as the
/// other; PromptError also where sizes and placeholders do not fit each other.
EncodedPrompt encode_chat(const tokenizer::Tokenizer& tokenizer, const Conversation& conversation,
                          const MediaSizes& sizes, FormatOptions options = {});

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT EncodedPrompt encode_segments(const tokenizer::Tokenizer& tokenizer, const Segments& segments) {
    EncodedPrompt out;
    tokenizer::PromptBuilder builder(tokenizer);
    const auto control = [&](const char* token) {
        const auto id = tokenizer.added_token_id(token);
        if (!id) throw TokenizerError(tokenizer.file() + ": expected an added token '" + token + "', found none");
        return *id;
    };
    const auto pads = [&](const PadSegment& s) {
        const int pad = control(s.media == Media::image ? "<|image_pad|>" : "<|video_pad|>");
        if (s.count < 0) throw PromptError("prompt: " + std::to_string(s.count) + " pads; expected at least 0");
        out.media.push_back({s.media, s.index, s.pair, static_cast<std::int64_t>(builder.position()), s.count});
        builder.repeat(pad, static_cast<std::size_t>(s.count));
    };
    for (const Segment& segment : segments) {
        if (const auto* text = std::get_if<TextSegment>(&segment)) {
            builder.text(text->text);
        } else if (const auto* markup = std::get_if<MarkupSegment>(&segment)) {
            builder.markup(markup->text);
        } else if (const auto* pad = std::get_if<PadSegment>(&segment)) {
            pads(*pad);
        } else {
            const auto& media = std::get<MediaSegment>(segment);
            builder.repeat(control("<|vision_start|>"), 1);
            pads({media.media, media.index, 0, 1});
            builder.repeat(control("<|vision_end|>"), 1);
        }
    }
    out.ids = builder.finish();
    return out;
}

QWEN3VL_SUPPORT EncodedPrompt encode_chat(const tokenizer::Tokenizer& tokenizer, const Conversation& conversation,
                                          FormatOptions options) {
    require_chat_tokens(tokenizer);
    return encode_segments(tokenizer, render_segments(conversation, options));
}

QWEN3VL_SUPPORT EncodedPrompt encode_chat(const tokenizer::Tokenizer& tokenizer, const Conversation& conversation,
                                          const MediaSizes& sizes, FormatOptions options) {
    require_chat_tokens(tokenizer);
    return encode_segments(tokenizer, expand_media(render_segments(conversation, options), sizes));
}

#endif

}  // namespace qwen3vl::chat
