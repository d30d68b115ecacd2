#pragma once
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/io/prompt_builder.hpp>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// A rendered prompt before it becomes tokens: the template's own markup, in which control tokens count, and what people and tools say, in which
/// they do not.
namespace qwen3vl::inline QWEN3VL_ABI {

struct Segment {
    enum class Kind { text, markup, pad, image, video };
    Kind kind = Kind::text;
    std::string text;       ///< of text and markup; of a pad, the token's name
    std::size_t count = 1;  ///< of a pad: how many times the token stands
};

/// What a picture or clip takes up in a prompt.
struct MediaSize {
    std::size_t tokens = 0;     ///< of a picture, or of one frame pair of a clip
    std::vector<double> times;  ///< of a clip: the time of each frame pair in seconds; empty for a picture
};

inline constexpr std::string_view image_pad = "<|image_pad|>", video_pad = "<|video_pad|>", vision_start = "<|vision_start|>", vision_end = "<|vision_end|>";

/// Puts the pads of each picture and clip where its place was. A clip becomes, for each frame pair, its time as text ("<12.5 seconds>") and a
/// span of its own (`Qwen3VLProcessor`). Throws PromptError where places and sizes do not fit each other.
inline std::vector<Segment> expand_media(const std::vector<Segment>& segments, std::span<const MediaSize> sizes) {
    using Kind = Segment::Kind;
    std::vector<Segment> out;
    std::size_t next = 0;
    const auto span = [&](std::string_view pad, std::size_t count) {
        out.push_back({Kind::markup, std::string(vision_start)});
        out.push_back({Kind::pad, std::string(pad), count});
        out.push_back({Kind::markup, std::string(vision_end)});
    };
    for (const auto& s : segments) {
        if (s.kind != Kind::image && s.kind != Kind::video) {
            out.push_back(s);
            continue;
        }
        if (next == sizes.size()) throw PromptError("the conversation has places for more pictures and clips than the " + std::to_string(sizes.size()) + " given");
        const auto& size = sizes[next++];
        if ((s.kind == Kind::video) != !size.times.empty())
            throw PromptError("picture or clip " + std::to_string(next) + ": expected a " + (s.kind == Kind::video ? "clip" : "picture") + " at this place, found a " +
                              (size.times.empty() ? "picture" : "clip"));
        if (s.kind == Kind::image) span(image_pad, size.tokens);
        for (const double time : size.times) {
            char text[64];
            std::snprintf(text, sizeof text, "<%.1f seconds>", time);
            out.push_back({Kind::text, text});
            span(video_pad, size.tokens);
        }
    }
    if (next != sizes.size())
        throw PromptError("the conversation has places for " + std::to_string(next) + " pictures and clips, " + std::to_string(sizes.size()) + " were given");
    return out;
}

/// The tokens of a prompt. Neighbouring text and markup are tokenised as one text, so that they equal those of the joined rendering as long as
/// no text holds a control token. A picture or clip without a size counts as one pad. Throws TokenizerError where the tokenizer lacks a pad.
inline std::vector<int> encode_segments(const io::Tokenizer& tokenizer, const std::vector<Segment>& segments) {
    io::PromptBuilder builder(tokenizer);
    const auto pad = [&](std::string_view name, std::size_t count) {
        const auto id = tokenizer.token_to_id(name);
        if (!id) throw TokenizerError(tokenizer.file() + ": expected the added token " + std::string(name) + ", found none");
        builder.repeat(*id, count);
    };
    for (const auto& s : segments) switch (s.kind) {
            case Segment::Kind::text: builder.text(s.text); break;
            case Segment::Kind::markup: builder.markup(s.text); break;
            case Segment::Kind::pad: pad(s.text, s.count); break;
            case Segment::Kind::image:
            case Segment::Kind::video:
                builder.markup(vision_start);
                pad(s.kind == Segment::Kind::image ? image_pad : video_pad, 1);
                builder.markup(vision_end);
                break;
        }
    return builder.finish();
}

/// The prompt as one string, control tokens spelt out; a picture or clip without a size has one pad.
inline std::string joined(const std::vector<Segment>& segments) {
    std::string out;
    for (const auto& s : segments) {
        if (s.kind == Segment::Kind::image || s.kind == Segment::Kind::video)
            out += std::string(vision_start) + std::string(s.kind == Segment::Kind::image ? image_pad : video_pad) + std::string(vision_end);
        else
            for (std::size_t i = 0; i < s.count; ++i) out += s.text;
    }
    return out;
}

}  // namespace qwen3vl
