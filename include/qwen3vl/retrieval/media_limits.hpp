#pragma once
#include <qwen3vl/chat/media.hpp>

/// Pictures and clips as the code that comes with Qwen3-VL-Embedding reads them: by qwen_vl_utils' vision_process.py,
/// whose sizes and resampling differ from those of a chat.
namespace qwen3vl::inline QWEN3VL_ABI {

/// How much of pictures and clips is read. The defaults are those of Qwen3-VL-Embedding and Qwen3-VL-Reranker.
struct MediaLimits {
    int least_tokens = 4;            ///< of a picture, which is enlarged to them
    int largest_tokens = 1800;       ///< of a picture, which is reduced to them
    int least_frame_tokens = 128;    ///< of a clip's frame
    int largest_frame_tokens = 768;  ///< of a clip's frame
    int clip_tokens = 115200;        ///< of a clip's frame pairs together
    double fps = 1;                  ///< frames a second that are chosen of a clip
    int min_frames = 4;              ///< at least so many are chosen, where the clip has them
    int max_frames = 64;             ///< at most so many are chosen
};

namespace detail {

/// Multiples of `factor` near width x height whose area is within the limits (`smart_resize` of vision_process.py: a
/// side has a token at least before areas are compared). Throws ImageError where the sides' ratio is above 200.
inline image::PixelSize fitted_size(int width, int height, int factor, double least, double largest) {
    image::detail::check_sides(width, height);
    return image::detail::size_within(height, width, factor, {.least = least, .largest = largest, .least_side = 1});
}

/// Indices of the frames that are chosen out of `total` (`smart_nframes` and `_read_video_decord`): an even number,
/// evenly spread from the first to the last by float32 `torch.linspace`. Throws ImageError where there is but one.
inline std::vector<int> chosen_frames(int total, double source_fps, const MediaLimits& limits) {
    const auto even_down = [](double n) { return std::floor(n / 2) * 2; };
    const double least = std::ceil(limits.min_frames / 2.0) * 2, most = even_down(limits.max_frames);
    const double wanted = std::min(std::max(total / source_fps * limits.fps, least), most);
    const auto count = static_cast<int>(even_down(std::min(wanted, static_cast<double>(total))));
    if (count < 2)
        throw ImageError("expected a clip and limits that give at least 2 frames, found " + std::to_string(total) +
                         " and max_frames of " + std::to_string(limits.max_frames) + "; a single frame is a picture");
    std::vector<int> indices(static_cast<std::size_t>(count));
    const auto end = static_cast<float>(total - 1), step = end / static_cast<float>(count - 1);
    for (int i = 0; i < count; ++i) {
        const float at = i < count / 2 ? step * static_cast<float>(i) : end - step * static_cast<float>(count - 1 - i);
        indices[static_cast<std::size_t>(i)] = static_cast<int>(std::nearbyint(at));
    }
    return indices;
}

/// The picture at its fitted size, resampled as Pillow does.
inline Image fitted(const Image& image, int factor, const MediaLimits& limits) {
    const double token = static_cast<double>(factor) * factor;
    const auto size =
        fitted_size(image.width(), image.height(), factor, limits.least_tokens * token, limits.largest_tokens * token);
    return image::resize_bicubic<std::int32_t>(image, size.width, size.height);
}

/// The chosen frames of a clip at their fitted size, resampled as torchvision does, in memory, with their times. Throws
/// ImageError, FileError.
inline Video fitted(const Video& clip, int factor, const MediaLimits& limits) {
    const auto indices = chosen_frames(clip.frame_count(), clip.source_fps(), limits);
    const double token = static_cast<double>(factor) * factor, least = limits.least_frame_tokens * token;
    const double share = limits.clip_tokens * token / static_cast<double>(indices.size()) * 2;
    const double largest = std::max(std::min(limits.largest_frame_tokens * token, share), std::floor(least * 1.05));
    const auto size = fitted_size(clip.width(), clip.height(), factor, least, largest);
    std::vector<Image> frames;
    std::vector<double> times;
    for (const int i : indices) {
        frames.push_back(image::resize_bicubic_unrounded(*clip.frame(i), size.width, size.height));
        times.push_back(clip.time(i));
    }
    return Video::from_frames(std::move(frames), std::move(times));
}

/// Appends a message's content in the order in which the models were trained to read it: clips, pictures, texts; "NULL"
/// where there is none of them.
inline void add_ordered(std::vector<Input>& to, const std::vector<Input>& content) {
    const auto add = [&](auto&& belongs) {
        std::copy_if(content.begin(), content.end(), std::back_inserter(to), belongs);
    };
    add([](const Input& i) { return std::holds_alternative<Video>(i); });
    add([](const Input& i) { return std::holds_alternative<Image>(i) || std::holds_alternative<ImageInfo>(i); });
    add([](const Input& i) { return std::holds_alternative<std::string>(i); });
    if (content.empty()) to.emplace_back("NULL");
}

}  // namespace detail
}  // namespace qwen3vl
