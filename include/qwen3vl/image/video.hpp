#pragma once
#include <filesystem>
#include <memory>
#include <qwen3vl/image/preprocess.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// video_preprocessor_config.json.
struct VideoPreprocessorConfig {
    PatchLayout layout = {};  ///< sizes of patches and tokens, and how values are normalised
    std::int64_t min_pixels =
        4096;  ///< size.shortest_edge or min_pixels: the least area of all sampled frames together
    std::int64_t max_pixels =
        25165824;  ///< size.longest_edge or max_pixels: the largest area of all sampled frames together
    std::optional<double> fps =
        2;                 ///< frames sampled per second; nothing: as many as the clip has, within the two limits below
    int min_frames = 4;    ///< at least so many are sampled, where the clip has them
    int max_frames = 768;  ///< at most so many are sampled
    bool cap_pixels_per_frame =
        false;  ///< limit each frame to max_video_tokens tokens, or its share of max_pixels if that is less
    int max_video_tokens = 768;  ///< used with cap_pixels_per_frame
    bool operator==(const VideoPreprocessorConfig&) const = default;
};

namespace image {

/// True if `a` sorts before `b` when runs of digits count as numbers: "2.png" before "10.png".
inline bool natural_less(std::string_view a, std::string_view b) {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    std::size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        if (!digit(a[i]) || !digit(b[j])) {
            if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
            ++i, ++j;
            continue;
        }
        while (i < a.size() && a[i] == '0') ++i;
        while (j < b.size() && b[j] == '0') ++j;
        std::size_t n = 0, m = 0;
        while (i + n < a.size() && digit(a[i + n])) ++n;
        while (j + m < b.size() && digit(b[j + m])) ++m;
        if (n != m) return n < m;
        if (const int order = a.substr(i, n).compare(b.substr(j, m)); order != 0) return order < 0;
        i += n, j += m;
    }
    if (a.size() - i != b.size() - j) return a.size() - i < b.size() - j;
    return a < b;  // the same but for leading zeros
}

/// Indices of the frames to use out of `total`, recorded at `source_fps` (Qwen3VLVideoProcessor.sample_frames of
/// transformers' video_processing_qwen3_vl.py): numpy's round(linspace(0, total - 1, count)).
inline std::vector<int> sample_frames(int total, double source_fps, const VideoPreprocessorConfig& config) {
    const double wanted = config.fps ? total / source_fps * *config.fps : total;
    const int count = std::min(
        {static_cast<int>(std::clamp(wanted, static_cast<double>(config.min_frames), 1e9)), config.max_frames, total});
    std::vector<int> indices(static_cast<std::size_t>(std::max(count, 1)), 0);
    const double step = count > 1 ? (total - 1) / static_cast<double>(count - 1) : 0;
    for (std::size_t i = 0; i < indices.size(); ++i)
        indices[i] = static_cast<int>(std::nearbyint(static_cast<double>(i) * step));
    if (count > 1) indices.back() = total - 1;
    return indices;
}

/// The size that the frames of a clip are resized to, as for pictures. But the area limits count all frames together,
/// and frames smaller than a token are enlarged first. After `smart_resize` and `resize` of transformers'
/// video_processing_qwen3_vl.py. Throws ImageError where there are fewer frames than a patch spans, or the sides' ratio
/// is above 200.
inline PixelSize smart_resize_video(int frames, int height, int width, const VideoPreprocessorConfig& config) {
    const int factor = config.layout.factor(), temporal = config.layout.temporal_patch;
    if (frames < temporal)
        throw ImageError("expected a clip of at least " + std::to_string(temporal) + " frames, found " +
                         std::to_string(frames) + "; a single frame is a picture");
    if (height < 1 || width < 1) detail::check_sides(width, height);
    double h = height, w = width, limit = static_cast<double>(config.max_pixels);
    if (config.cap_pixels_per_frame) {
        const double cap = static_cast<double>(config.max_video_tokens) * factor * factor;
        const double share = std::floor(static_cast<double>(config.max_pixels) / frames);
        limit = std::max(std::min(cap, share), std::floor(static_cast<double>(config.min_pixels) * 1.05)) * frames;
    }
    if (h < factor || w < factor) {
        const double scale = std::max(factor / h, factor / w);
        h = std::trunc(h * scale), w = std::trunc(w * scale);
    }
    if (std::max(h, w) / std::min(h, w) > 200)
        detail::check_sides(static_cast<int>(std::min(w, 2e9)), static_cast<int>(std::min(h, 2e9)));
    return detail::size_within(h, w, factor,
                               {.least = static_cast<double>(config.min_pixels),
                                .largest = limit,
                                .frames = static_cast<double>(frames),
                                .counted_frames = std::nearbyint(static_cast<double>(frames) / temporal) * temporal});
}

}  // namespace image

/// A clip: frames of one size with their times, in memory or as files that are decoded when they are used. Copies share
/// the frames.
class Video {
  public:
    /// Frames in memory, recorded at `source_fps` frames a second, or shown at `times` seconds (increasing, one per
    /// frame). Throws ImageError where there are no frames, their sizes differ, or rate or times make no sense.
    static Video from_frames(std::vector<Image> frames, double source_fps) {
        Video video = of_frames(std::move(frames));
        video.set_rate(source_fps);
        return video;
    }
    /// Frames in memory, shown at times of their own.
    static Video from_frames(std::vector<Image> frames, std::vector<double> times) {
        Video video = of_frames(std::move(frames));
        if (times.size() != video.frames_.size())
            throw ImageError("expected one time for each of " + std::to_string(video.frames_.size()) +
                             " frames, found " + std::to_string(times.size()));
        for (std::size_t i = 0; i < times.size(); ++i)
            if (!std::isfinite(times[i]) || times[i] < 0 || (i > 0 && times[i] <= times[i - 1]))
                throw ImageError("expected increasing times from 0 on, found another at frame " + std::to_string(i));
        const double span = times.back() - times.front();
        video.set_rate(times.size() > 1 ? static_cast<double>(times.size() - 1) / span : 1.0);
        video.times_ = std::move(times);
        return video;
    }

    /// Picture files in this order. Their headers are read now, their pixels when they are used. Throws FileError, and
    /// ImageError where a file is no picture that Image::open reads or not of the first one's size.
    static Video from_files(std::vector<std::string> paths, double source_fps, const ImageOptions& options = {});

    /// All frames of a folder, named *.jpg, *.jpeg, *.png or *.webp, in natural order of their names ("2.png" before
    /// "10.png"). Hidden files are passed over; any other file is refused, so that no frame is lost silently. Throws as
    /// `from_files`.
    static Video open_folder(const std::string& folder, double source_fps, const ImageOptions& options = {});

    /// Frames of the whole clip.
    int frame_count() const { return static_cast<int>(paths_.empty() ? frames_.size() : paths_.size()); }
    /// Columns of every frame.
    int width() const { return width_; }
    /// Rows of every frame.
    int height() const { return height_; }
    /// Frames a second, as recorded; for given times the mean.
    double source_fps() const { return source_fps_; }
    /// Time of frame i, in seconds.
    double time(int i) const { return times_.empty() ? i / source_fps_ : times_[static_cast<std::size_t>(i)]; }
    /// Frame i; decodes it where the clip is made of files. Throws ImageError or FileError where the file has changed
    /// since.
    std::shared_ptr<const Image> frame(int i) const {
        const auto at = static_cast<std::size_t>(i);
        if (paths_.empty()) return frames_[at];
        auto image = std::make_shared<const Image>(Image::open(paths_[at], options_));
        if (image->width() != width_ || image->height() != height_)
            throw ImageError(paths_[at] + ": expected a frame of " + std::to_string(width_) + " x " +
                             std::to_string(height_) + ", found " + std::to_string(image->width()) + " x " +
                             std::to_string(image->height()));
        return image;
    }

  private:
    static Video of_frames(std::vector<Image> frames) {
        if (frames.empty()) throw ImageError("expected a clip of at least one frame, found none");
        Video video;
        for (auto& frame : frames) {
            video.add_size(frame.width(), frame.height(), "frame " + std::to_string(video.frames_.size()));
            video.frames_.push_back(std::make_shared<const Image>(std::move(frame)));
        }
        return video;
    }
    void add_size(int width, int height, const std::string& name) {
        if (width_ == 0) width_ = width, height_ = height;
        if (width != width_ || height != height_)
            throw ImageError(name + ": expected the first frame's size " + std::to_string(width_) + " x " +
                             std::to_string(height_) + ", found " + std::to_string(width) + " x " +
                             std::to_string(height));
    }
    void set_rate(double source_fps) {
        if (!std::isfinite(source_fps) || source_fps <= 0)
            throw ImageError("expected a rate above 0 frames a second, found " + std::to_string(source_fps));
        source_fps_ = source_fps;
    }

    std::vector<std::shared_ptr<const Image>> frames_;
    std::vector<std::string> paths_;
    ImageOptions options_;
    std::vector<double> times_;
    int width_ = 0, height_ = 0;
    double source_fps_ = 1;
};

/// Plan of a clip's patches, made before any pixel is read.
struct VideoPlan {
    Grid grid;                  ///< in patches; its t counts frame pairs
    std::vector<double> times;  ///< [grid.t] seconds: the mean of the first and last frame's time of each group of
                                ///< temporal_patch frames
    std::vector<int>
        indices;  ///< the frames sampled; where they do not fill the last group, its last frame is repeated
};

/// A clip as the vision tower reads it.
struct VideoPatches {
    Patches patches;            ///< of the sampled frames
    std::vector<double> times;  ///< as in VideoPlan
    std::vector<int> indices;   ///< as in VideoPlan
};

/// Plans frames, times and grid of a clip; no pixels needed. Throws as `image::smart_resize_video`.
VideoPlan plan_of(const Video& video, const VideoPreprocessorConfig& config);

/// Samples a clip's frames, resizes and normalises them and cuts them into patches; only sampled frames are decoded,
/// one at a time. Throws ImageError or FileError.
VideoPatches preprocess(const Video& video, const VideoPreprocessorConfig& config);

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Video Video::from_files(std::vector<std::string> paths, double source_fps,
                                        const ImageOptions& options) {
    Video video;
    for (const auto& path : paths) {
        const auto info = Image::probe(path, options);
        video.add_size(info.width, info.height, path);
    }
    if (paths.empty()) throw ImageError("expected a clip of at least one frame, found none");
    video.paths_ = std::move(paths);
    video.options_ = options;
    video.set_rate(source_fps);
    return video;
}

QWEN3VL_SUPPORT Video Video::open_folder(const std::string& folder, double source_fps, const ImageOptions& options) {
    std::vector<std::string> names;
    std::error_code error;
    for (auto entry = std::filesystem::directory_iterator(folder, error);
         !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        const auto name = entry->path().filename().string();
        if (name.starts_with(".")) continue;
        auto extension = entry->path().extension().string();
        for (auto& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        if (extension != ".jpg" && extension != ".jpeg" && extension != ".png" && extension != ".webp")
            throw ImageError(folder + ": expected only frames named *.jpg, *.jpeg, *.png or *.webp, found '" + name +
                             "'");
        names.push_back(name);
    }
    if (error) throw FileError(folder + ": cannot read the folder: " + error.message());
    if (names.empty()) throw ImageError(folder + ": expected frames named *.jpg, *.jpeg, *.png or *.webp, found none");
    std::sort(names.begin(), names.end(), image::natural_less);
    for (auto& name : names) name = (std::filesystem::path(folder) / name).string();
    return from_files(std::move(names), source_fps, options);
}

QWEN3VL_SUPPORT VideoPlan plan_of(const Video& video, const VideoPreprocessorConfig& config) {
    VideoPlan plan;
    plan.indices = image::sample_frames(video.frame_count(), video.source_fps(), config);
    const int count = static_cast<int>(plan.indices.size()), temporal = config.layout.temporal_patch;
    const auto size = image::smart_resize_video(count, video.height(), video.width(), config);
    plan.grid = {static_cast<int>(ceil_div(count, temporal)), size.height / config.layout.patch,
                 size.width / config.layout.patch};
    for (int group = 0; group < plan.grid.t; ++group) {
        const auto first = static_cast<std::size_t>(group * temporal),
                   last = static_cast<std::size_t>(std::min(group * temporal + temporal, count) - 1);
        plan.times.push_back((video.time(plan.indices[first]) + video.time(plan.indices[last])) / 2);
    }
    return plan;
}

QWEN3VL_SUPPORT VideoPatches preprocess(const Video& video, const VideoPreprocessorConfig& config) {
    auto plan = plan_of(video, config);
    const auto& grid = plan.grid;
    const int temporal = config.layout.temporal_patch, count = static_cast<int>(plan.indices.size());
    VideoPatches result{
        .patches = {.grid = grid, .values = {}}, .times = std::move(plan.times), .indices = std::move(plan.indices)};
    result.patches.values.resize(static_cast<std::size_t>(grid.patches()) * config.layout.row_floats());
    for (int i = 0; i < count; ++i) {
        const auto resized = image::resize_bicubic(*video.frame(result.indices[static_cast<std::size_t>(i)]),
                                                   grid.w * config.layout.patch, grid.h * config.layout.patch);
        const int last_slot = i + 1 < count ? i : grid.t * temporal - 1;
        for (int slot = i; slot <= last_slot; ++slot)
            image::write_patches(resized, config.layout, slot / temporal, slot % temporal, result.patches);
    }
    return result;
}

#endif

}  // namespace qwen3vl
