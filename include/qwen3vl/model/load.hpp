#pragma once
#include <filesystem>
#include <optional>
#include <qwen3vl/io/calibration.hpp>
#include <qwen3vl/io/checkpoint.hpp>
#include <qwen3vl/io/generation_config_json.hpp>
#include <qwen3vl/io/gguf_defaults.hpp>
#include <qwen3vl/io/gguf_tokenizer.hpp>
#include <qwen3vl/io/preprocessor_config.hpp>
#include <qwen3vl/io/tokenizer_json.hpp>
#include <qwen3vl/model/assets.hpp>
#include <qwen3vl/model/model.hpp>
#include <set>

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

/// The same of a GGUF model, from its metadata and its vision part's.
inline std::shared_ptr<const Assets> open_assets(const io::GgufCheckpoint& gguf) {
    auto assets = std::make_shared<Assets>();
    const io::GgufMetadata& metadata = gguf.model().metadata();
    assets->folder = gguf.model().path();
    assets->tokenizer = io::GgufTokenizer::read(metadata);
    assets->generation = io::gguf_generation_config(metadata);
    if (gguf.vision()) {
        assets->image = io::gguf_preprocessor_config(*gguf.vision());
        assets->video = io::gguf_video_preprocessor_config(*gguf.vision());
    }
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

/// Tells the log, once for each pair of them, of the block types in a checkpoint and the formats that round what they hold.
template <class M>
void log_rounding(const io::Checkpoint& checkpoint, const LogHook& log) {
    std::set<std::string> told;
    for_each_matrix<typename M::dims>([&](const std::string& name, std::int64_t, std::int64_t, const Part& part) {
        const TensorView* t = checkpoint.find(name);
        if (!t || !is_block_type(t->dtype)) return;
        M::with_format(part, [&]<class Format>(type_tag<Format>) {
            constexpr std::int64_t rows = 64, cols = 256, exact = rows * cols * static_cast<std::int64_t>(sizeof(float));
            if (weights::traits<Format>::template bytes<typename M::Arch>(rows, cols) >= exact || weights::holds_blocks<Format>(t->dtype)) return;
            const std::string text =
                std::string(dtype_name(t->dtype)) + " weights are rounded to the format " + Format::name + "; float32 holds them as they are";
            if (told.insert(text).second) log(checkpoint.folder() + ": " + text);
        });
    });
}

/// A checkpoint, the moments of its matrices' columns where they are known, and the tables of policies.
struct CalibratedSource {
    io::Checkpoint& checkpoint;
    std::optional<io::Calibration> calibration = {};
    std::optional<io::SafetensorsFile> tables = {};

    TensorView take(const std::string& name, const Shape& shape) { return checkpoint.take(name, shape); }
    void release(const TensorView& view) { checkpoint.release(view); }
    std::uint64_t fingerprint() const { return calibration ? calibration->fingerprint(checkpoint.fingerprint()) : checkpoint.fingerprint(); }
    TensorView take_table(const std::string& name, const Shape& shape) {
        if (!tables) throw ConfigError("LoadOptions::tables: a policy of this model needs the table '" + name + "' " + shape_text(shape) + "; name its file");
        const auto found = tables->tensors().find(name);
        if (found == tables->tensors().end()) throw LoadError(tables->path(), name, "a table " + shape_text(shape), "none");
        if (found->second.shape != shape) throw LoadError(tables->path(), name, "the shape " + shape_text(shape), shape_text(found->second.shape));
        return found->second;
    }
    std::optional<weights::ColumnMoments> moments(const std::string& name, std::int64_t cols) {
        return calibration ? calibration->moments(name, cols) : std::nullopt;
    }
};

}  // namespace detail

template <class D, class P>
Model<D, P> Model<D, P>::load(const std::string& path, const LoadOptions& options) {
    if constexpr (Model::refused) {
        return Model();  // the refusal is the only error
    } else {
        arch::require_supported<typename P::Arch>();
        auto checkpoint = std::make_shared<io::Checkpoint>(io::Checkpoint::open(path, options.mmproj));
        io::check_config<D>(checkpoint->config());
        const io::GgufCheckpoint* gguf = checkpoint->gguf();
        auto assets = gguf ? detail::open_assets(*gguf) : detail::open_assets(path, checkpoint->config());
        if constexpr (VisionLanguageDims<D>) {
            detail::check_layout(assets->image.layout, D::vision, gguf ? gguf->vision()->path() : path + "/preprocessor_config.json");
            detail::check_layout(assets->video.layout, D::vision, gguf ? gguf->vision()->path() : path + "/video_preprocessor_config.json");
        }
        if (options.log) detail::log_rounding<Model>(*checkpoint, options.log);
        detail::CalibratedSource source{*checkpoint};
        if (!options.calibration.empty()) source.calibration = io::Calibration::open(options.calibration);
        if (!options.tables.empty()) source.tables = io::SafetensorsFile::open(options.tables);
        Model model(source, checkpoint, std::move(assets), options);
        if (source.calibration) source.calibration->require_used();
        if (options.log)
            for (const auto& name : checkpoint->unused()) options.log(path + ": tensor '" + name + "' is used by nothing in this model");
        return model;
    }
}

}  // namespace qwen3vl
