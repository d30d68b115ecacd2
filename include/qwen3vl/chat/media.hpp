#pragma once
#include <functional>
#include <qwen3vl/chat/expand_media.hpp>
#include <qwen3vl/chat/message.hpp>
#include <qwen3vl/fusion/stand_in.hpp>
#include <qwen3vl/model/assets.hpp>
#include <qwen3vl/session/feature_cache.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/token_reduction/tokens.hpp>
#include <span>
#include <variant>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A piece of what a user says: text, a picture or a clip, in any order; or, for counting tokens only, a picture's
/// size.
class Input : public std::variant<std::string, Image, Video, ImageInfo> {
  public:
    using std::variant<std::string, Image, Video, ImageInfo>::variant;
    /// A piece of text, copied.
    Input(const char* text) : variant(std::string(text)) {}
    /// A piece of text, copied.
    Input(std::string_view text) : variant(std::string(text)) {}
};

namespace detail {

/// Extent of a picture or clip in the prompt.
struct MediaExtent {
    bool clip = false;
    std::int64_t tokens = 0;    ///< pad tokens of a picture, or of one frame pair
    std::vector<double> times;  ///< times of a clip's frame pairs, in seconds
};

/// A picture or clip of a conversation after the vision tower. Its key tells it from others.
struct EncodedMedia {
    FeatureCache::Key key;
    std::shared_ptr<const VisualFeatures> features;
};

/// Sorts the extents by kind, each in order of appearance.
inline chat::MediaSizes media_sizes(const std::vector<MediaExtent>& extents) {
    chat::MediaSizes sizes;
    for (const auto& e : extents) {
        if (e.clip)
            sizes.videos.push_back({e.times, e.tokens});
        else
            sizes.images.push_back(e.tokens);
    }
    return sizes;
}

/// Preprocessing with what the model's resolution policy makes of the checkpoint's configuration.
template <class M>
struct MediaConfig {
    PreprocessorConfig image;
    VideoPreprocessorConfig video;
    MediaConfig([[maybe_unused]] const M& model, const Assets& assets) : image(assets.image), video(assets.video) {
        using Resolution = typename M::policies::Vision::Resolution;
        const auto limit = [&](auto& config) {
            resolution::PixelBudget budget{config.min_pixels, config.max_pixels};
            if constexpr (BringsParameters<Resolution>)
                budget = Resolution::budget(model.parameters().resolution, budget);
            else
                budget = Resolution::budget(budget);
            config.min_pixels = budget.least;
            config.max_pixels = budget.most;
        };
        limit(image);
        limit(video);
    }
};

/// The extent of a picture or clip, or of a picture whose size alone is known; the input is no text.
template <class M>
MediaExtent extent_of(const Input& input, const MediaConfig<M>& config) {
    using P = typename M::policies;
    const auto pads = [](const Grid& grid, int merge) {
        return fusion::pads_of<typename P::Fusion>(
            token_reduction::tokens_of<typename P::Text::TokenReduction>(grid, merge));
    };
    if (const auto* video = std::get_if<Video>(&input)) {
        auto plan = plan_of(*video, config.video);
        return {true, pads(plan.grid, config.video.layout.merge), std::move(plan.times)};
    }
    const auto* image = std::get_if<Image>(&input);
    const int width = image ? image->width() : std::get<ImageInfo>(input).width,
              height = image ? image->height() : std::get<ImageInfo>(input).height;
    const Grid grid = grid_of(width, height, config.image);
    return {false, pads(grid, config.image.layout.merge), {}};
}

/// A message of these inputs; the extents of its pictures and clips are appended. Throws PromptError for a picture
/// where the model has no tower.
template <class M>
chat::Message message_of(chat::Role role, const std::vector<Input>& content, const MediaConfig<M>& config,
                         std::vector<MediaExtent>& extents) {
    chat::Message message;
    message.role = role;
    for (const auto& input : content) {
        if (const auto* text = std::get_if<std::string>(&input)) {
            message.content.emplace_back(*text);
            continue;
        }
        if constexpr (!VisionLanguageDims<typename M::dims>)
            throw PromptError("this model has no vision tower: it takes text only");
        extents.push_back(extent_of<M>(input, config));
        if (extents.back().clip)
            message.content.emplace_back(chat::VideoPart{});
        else
            message.content.emplace_back(chat::ImagePart{});
    }
    return message;
}

inline std::uint64_t combine(std::uint64_t hash, std::uint64_t value) {
    return (hash ^ value) * 0x9e3779b97f4a7c15u + (hash >> 29);
}

inline std::uint64_t hash_of(const PatchLayout& layout) {
    std::uint64_t hash = std::hash<double>{}(layout.rescale_factor);
    for (std::size_t c = 0; c < 3; ++c)
        hash = combine(combine(hash, std::hash<float>{}(layout.mean[c])), std::hash<float>{}(layout.std[c]));
    return hash;
}

/// The features of a picture or clip: from those `shown` before, from the cache, or through preprocessing and the
/// tower.
template <class M>
EncodedMedia features_of(Workspace<M>& workspace, const Input& input, const MediaConfig<M>& config,
                         std::span<const EncodedMedia> shown, FeatureCache& cache, const ProgressCallback& progress) {
    const auto cached = [&](const FeatureCache::Key& key, auto&& preprocessed) -> EncodedMedia {
        for (const auto& media : shown)
            if (media.key == key) return media;
        if (auto known = cache.find(key)) return {key, std::move(known)};
        auto features = qwen3vl::encode(workspace, preprocessed(), progress);
        cache.insert(key, features);
        return {key, std::move(features)};
    };
    if (const auto* image = std::get_if<Image>(&input))
        return cached({image->content_hash(), grid_of(image->width(), image->height(), config.image),
                       hash_of(config.image.layout)},
                      [&] { return preprocess(*image, config.image); });
    if (const auto* video = std::get_if<Video>(&input)) {
        const auto plan = plan_of(*video, config.video);
        FeatureCache::Key key{{}, plan.grid, hash_of(config.video.layout) + 1};
        for (const int i : plan.indices) {  // a frame in a file is decoded each time it is asked for
            const auto hash = video->frame(i)->content_hash();
            for (std::size_t k = 0; k < 2; ++k) key.content[k] = combine(key.content[k], hash[k]);
        }
        return cached(key, [&] { return preprocess(*video, config.video).patches; });
    }
    throw PromptError("a picture's size stands for it in token_count() only; give the picture itself");
}

}  // namespace detail
}  // namespace qwen3vl
