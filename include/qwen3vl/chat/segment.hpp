#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <variant>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// Kind of a visual input: their placeholders and pad tokens differ.
enum class Media { image, video };

/// Text that is tokenised as ordinary text, whatever it says. Neighbouring text is tokenised together.
struct TextSegment {
    std::string text;  ///< UTF-8
    bool operator==(const TextSegment&) const = default;
};
/// The template's own text, in which added tokens count: "<|im_start|>user\n".
struct MarkupSegment {
    std::string text;  ///< UTF-8, with added tokens spelled out
    bool operator==(const MarkupSegment&) const = default;
};
/// A picture or clip whose size is not known yet: vision start, one pad, vision end.
struct MediaSegment {
    Media media = Media::image;  ///< a picture, or a clip
    int index = 0;               ///< index among pictures, or among clips, in order of appearance
    bool operator==(const MediaSegment&) const = default;
};
/// The pad tokens of a picture, or of one frame pair of a clip.
struct PadSegment {
    Media media = Media::image;  ///< a picture, or a clip
    int index = 0;               ///< as in MediaSegment
    int pair = 0;                ///< frame pair; 0 for a picture
    std::int64_t count = 1;      ///< tokens
    bool operator==(const PadSegment&) const = default;
};

/// A prompt before it is tokenised.
using Segment = std::variant<TextSegment, MarkupSegment, MediaSegment, PadSegment>;
using Segments = std::vector<Segment>;  ///< in order

}  // namespace qwen3vl::chat
