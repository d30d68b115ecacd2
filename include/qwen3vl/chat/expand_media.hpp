#pragma once
#include <array>
#include <charconv>
#include <cmath>
#include <qwen3vl/chat/segment.hpp>
#include <qwen3vl/core/error.hpp>
#include <span>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::chat {

/// A clip's extent in the prompt.
struct VideoSize {
    std::vector<double> times;         ///< seconds, one for each frame pair
    std::int64_t tokens_per_pair = 0;  ///< merged patches of one frame pair
};
/// The extents of a prompt's pictures and clips, each in order of appearance.
struct MediaSizes {
    std::vector<std::int64_t> images;  ///< merged patches of each picture
    std::vector<VideoSize> videos;     ///< clips
};

/// "<12.5 seconds>", which stands before the tokens of a frame pair. Throws PromptError for a time that is negative,
/// not finite or beyond 1e9.
inline std::string time_text(double seconds) {
    if (!(seconds >= 0 && seconds <= 1e9))
        throw PromptError("clip: expected times from 0 to 1e9 seconds, found " + std::to_string(seconds));
    std::array<char, 32> digits{};
    const auto end =
        std::to_chars(digits.data(), digits.data() + digits.size(), seconds, std::chars_format::fixed, 1).ptr;
    return "<" + std::string(digits.data(), end) + " seconds>";
}

/// Gives every picture and clip its tokens (transformers processing_qwen3_vl.py). A picture becomes vision start, a pad
/// for each merged patch, vision end. A clip becomes this for each frame pair, with the pair's time before it. All
/// other segments stay. Throws PromptError where there are more or fewer sizes than pictures or clips, or a size is not
/// positive.
inline Segments expand_media(const Segments& segments, const MediaSizes& sizes) {
    const auto missing = [](const char* what, std::size_t placeholders, std::size_t found) {
        return PromptError("prompt: expected " + std::to_string(placeholders) + " " + what +
                           ", as many as placeholders, found " + std::to_string(found));
    };
    std::size_t images = 0, videos = 0;
    for (const Segment& segment : segments) {
        const auto* media = std::get_if<MediaSegment>(&segment);
        if (!media) continue;
        auto& count = media->media == Media::image ? images : videos;
        if (media->index < 0 || static_cast<std::size_t>(media->index) != count)
            throw PromptError("prompt: pictures and clips are not numbered in order of appearance");
        ++count;
    }
    if (images != sizes.images.size()) throw missing("pictures", images, sizes.images.size());
    if (videos != sizes.videos.size()) throw missing("clips", videos, sizes.videos.size());

    Segments out;
    const auto span = [&](PadSegment pads) {
        if (pads.count <= 0)
            throw PromptError("prompt: a picture or frame pair of " + std::to_string(pads.count) +
                              " tokens; expected at least 1");
        out.push_back(MarkupSegment{"<|vision_start|>"});
        out.push_back(pads);
        out.push_back(MarkupSegment{"<|vision_end|>"});
    };
    for (const Segment& segment : segments) {
        const auto* media = std::get_if<MediaSegment>(&segment);
        if (!media) {
            out.push_back(segment);
        } else if (media->media == Media::image) {
            span({Media::image, media->index, 0, sizes.images[static_cast<std::size_t>(media->index)]});
        } else {
            const VideoSize& size = sizes.videos[static_cast<std::size_t>(media->index)];
            if (size.times.empty())
                throw PromptError("prompt: clip " + std::to_string(media->index) + " has no frame pairs");
            for (std::size_t pair = 0; pair < size.times.size(); ++pair) {
                out.push_back(TextSegment{time_text(size.times[pair])});
                span({Media::video, media->index, static_cast<int>(pair), size.tokens_per_pair});
            }
        }
    }
    return out;
}

}  // namespace qwen3vl::chat
