#pragma once
#include <filesystem>
#include <qwen3vl/io/checkpoint.hpp>
#include <qwen3vl/io/generation_config_json.hpp>
#include <qwen3vl/io/preprocessor_config.hpp>
#include <qwen3vl/io/tokenizer_json.hpp>
#include <qwen3vl/model/assets.hpp>
#include <qwen3vl/model/model.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

namespace detail {

inline bool exists(const std::string& path) {
    std::error_code error;
    return std::filesystem::exists(path, error);
}

inline std::shared_ptr<const Assets> open_assets(const std::string& folder, const io::HfConfig& config) {
    auto assets = std::make_shared<Assets>();
    assets->folder = folder;
    if (const auto path = folder + "/tokenizer.json"; exists(path)) assets->tokenizer = io::Tokenizer::open(path);
    if (const auto path = folder + "/preprocessor_config.json"; exists(path)) assets->image = io::read_preprocessor_config(path);
    if (const auto path = folder + "/video_preprocessor_config.json"; exists(path)) assets->video = io::read_video_preprocessor_config(path);
    if (auto generation = io::read_generation_config(folder)) assets->generation = std::move(*generation);
    if (assets->generation.eos.empty()) assets->generation.eos = config.eos();
    return assets;
}

/// Throws ConfigError unless pictures become patches of the extents that the tower reads.
inline void check_layout(const PatchLayout& layout, const VisionDims& d, const std::string& file) {
    const auto expect = [&](const char* field, int expected, int found) {
        if (expected != found) throw ConfigError(file, field, std::to_string(expected), std::to_string(found));
    };
    expect("patch_size", d.patch, layout.patch);
    expect("merge_size", d.merge, layout.merge);
    expect("temporal_patch_size", d.temporal_patch, layout.temporal_patch);
}

}  // namespace detail

template <class D, class P>
Model<D, P> Model<D, P>::load(const std::string& folder, const LoadOptions& options) {
    if constexpr (Model::refused) {
        return Model();  // the refusal is the only error
    } else {
        arch::require_supported<typename P::Arch>();
        auto checkpoint = std::make_shared<io::Checkpoint>(io::Checkpoint::open(folder));
        io::check_config<D>(checkpoint->config());
        auto assets = detail::open_assets(folder, checkpoint->config());
        if constexpr (VisionLanguageDims<D>) {
            detail::check_layout(assets->image.layout, D::vision, folder + "/preprocessor_config.json");
            detail::check_layout(assets->video.layout, D::vision, folder + "/video_preprocessor_config.json");
        }
        Model model(*checkpoint, checkpoint, std::move(assets), options);
        if (options.log)
            for (const auto& name : checkpoint->unused()) options.log(folder + ": tensor '" + name + "' is used by nothing in this model");
        return model;
    }
}

}  // namespace qwen3vl
