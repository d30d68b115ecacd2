#pragma once
#include <filesystem>
#include <optional>
#include <qwen3vl/checkpoint/calibration.hpp>
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/checkpoint/generation_config_json.hpp>
#include <qwen3vl/checkpoint/gguf_defaults.hpp>
#include <qwen3vl/checkpoint/gguf_tokenizer.hpp>
#include <qwen3vl/checkpoint/parameter_files.hpp>
#include <qwen3vl/image/preprocessor_config.hpp>
#include <qwen3vl/model/assets.hpp>
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include <set>

namespace qwen3vl::inline QWEN3VL_ABI {

namespace detail {

inline bool exists(const std::string& path) {
    std::error_code error;
    return std::filesystem::exists(path, error);
}

std::shared_ptr<const Assets> open_assets(const std::string& folder, const checkpoint::HfConfig& config);
/// Reads the assets of a GGUF model from its metadata and its vision part's.
std::shared_ptr<const Assets> open_assets(const checkpoint::GgufCheckpoint& gguf);

#if QWEN3VL_DEFINES_SUPPORT
QWEN3VL_SUPPORT std::shared_ptr<const Assets> open_assets(const std::string& folder,
                                                          const checkpoint::HfConfig& config) {
    auto assets = std::make_shared<Assets>();
    assets->folder = folder;
    if (const auto path = folder + "/tokenizer.json"; exists(path))
        assets->tokenizer = tokenizer::Tokenizer::open(path);
    if (const auto path = folder + "/preprocessor_config.json"; exists(path))
        assets->image = image::read_preprocessor_config(path);
    if (const auto path = folder + "/video_preprocessor_config.json"; exists(path))
        assets->video = image::read_video_preprocessor_config(path);
    if (auto generation = checkpoint::read_generation_config(folder)) assets->generation = std::move(*generation);
    if (assets->generation.eos.empty()) assets->generation.eos = config.eos();
    return assets;
}

QWEN3VL_SUPPORT std::shared_ptr<const Assets> open_assets(const checkpoint::GgufCheckpoint& gguf) {
    auto assets = std::make_shared<Assets>();
    const checkpoint::GgufMetadata& metadata = gguf.model().metadata();
    assets->folder = gguf.model().path();
    assets->tokenizer = checkpoint::GgufTokenizer::read(metadata);
    assets->generation = checkpoint::gguf_generation_config(metadata);
    if (gguf.vision()) {
        assets->image = checkpoint::gguf_preprocessor_config(*gguf.vision());
        assets->video = checkpoint::gguf_video_preprocessor_config(*gguf.vision());
    }
    return assets;
}
#endif

/// Throws ConfigError unless pictures become patches of the extents that the tower reads.
inline void check_layout(const PatchLayout& layout, const VisionDims& d, const std::string& file) {
    const auto expect = [&](const char* field, int expected, int found) {
        if (expected != found) throw ConfigError(file, field, std::to_string(expected), std::to_string(found));
    };
    expect("patch_size", d.patch, layout.patch);
    expect("merge_size", d.merge, layout.merge);
    expect("temporal_patch_size", d.temporal_patch, layout.temporal_patch);
}

/// The files that a model's weights may lie in.
struct OpenedFiles {
    std::shared_ptr<const checkpoint::Checkpoint> checkpoint;
    checkpoint::ParameterFiles further;
    OpenedFiles(std::shared_ptr<const checkpoint::Checkpoint> c, checkpoint::ParameterFiles f)
        : checkpoint(std::move(c)), further(std::move(f)) {}
};

/// Logs the block types of a checkpoint that formats round, once for each pair of type and format.
template <class Team>
void log_rounding(const Manifest<Team>& manifest, const checkpoint::Checkpoint& checkpoint, const LogHook& log) {
    std::set<std::string> told;
    for (const auto& p : manifest.parameters) {
        const TensorView* t = p.format ? checkpoint.find(p.name) : nullptr;
        if (!t || !p.format->rounds(t->dtype)) continue;
        const std::string text = std::string(dtype_name(t->dtype)) + " weights are rounded to the format " +
                                 p.format->name + "; float32 holds them as they are";
        if (told.insert(text).second) log(checkpoint.folder() + ": " + text);
    }
}

}  // namespace detail

/// A source whose matrices' columns have known moments, by which integer formats round.
template <concepts::WeightSource Source>
class CalibratedSource : public WeightSourceDecorator<Source> {
  public:
    /// Both outlive the source; an empty calibration knows no moments.
    CalibratedSource(Source& source, std::optional<checkpoint::Calibration>& calibration)
        : WeightSourceDecorator<Source>(source), calibration_(&calibration) {}
    /// Tells source and moments apart from others.
    std::uint64_t fingerprint() const {
        const std::uint64_t h = this->source_->fingerprint();
        return *calibration_ ? (*calibration_)->fingerprint(h) : h;
    }
    /// Moments of a matrix's columns; nothing where the calibration has none.
    std::optional<weights::InputGram> moments(const std::string& name, std::int64_t cols) {
        return *calibration_ ? (*calibration_)->moments(name, cols) : std::nullopt;
    }

  private:
    std::optional<checkpoint::Calibration>* calibration_;
};

/// A source with further files, whose tensors come before its own.
template <concepts::WeightSource Source>
class ExtendedSource : public WeightSourceDecorator<Source> {
  public:
    /// Both outlive the source.
    ExtendedSource(Source& source, checkpoint::ParameterFiles& files)
        : WeightSourceDecorator<Source>(source), files_(&files) {}
    /// The tensor of the files, else of the source. Throws LoadError, which names all files, where none has it.
    TensorView take(const std::string& name, const Shape& shape) {
        const TensorView* found = files_->take(name, shape);
        if (found) return *found;
        try {
            return this->source_->take(name, shape);
        } catch (const LoadError& e) {
            if (files_->paths().empty()) throw;
            std::string text = std::string(e.what()) + ", nor any in";
            for (const auto& path : files_->paths()) text += ' ' + path;
            throw LoadError(text);
        }
    }
    /// Lets go of a tensor's memory, wherever it came from.
    void release(const TensorView& view) {
        files_->release(view);
        this->source_->release(view);
    }
    /// Tells source and files apart from others.
    std::uint64_t fingerprint() const { return files_->fingerprint(this->source_->fingerprint()); }

  private:
    checkpoint::ParameterFiles* files_;
};

template <class D, class P>
BasicModel<D, P> BasicModel<D, P>::load(const std::string& path, const LoadOptions& options) {
    arch::require_supported<typename P::Arch>();
    auto checkpoint = std::make_shared<checkpoint::Checkpoint>(checkpoint::Checkpoint::open(path, options.mmproj));
    checkpoint::check_config<D>(checkpoint->config());
    const checkpoint::GgufCheckpoint* gguf = checkpoint->gguf();
    auto assets = gguf ? detail::open_assets(*gguf) : detail::open_assets(path, checkpoint->config());
    if constexpr (VisionLanguageDims<D>) {
        detail::check_layout(assets->image.layout, D::vision,
                             gguf ? gguf->vision()->path() : path + "/preprocessor_config.json");
        detail::check_layout(assets->video.layout, D::vision,
                             gguf ? gguf->vision()->path() : path + "/video_preprocessor_config.json");
    }
    if (options.log) detail::log_rounding(BasicModel::manifest(), *checkpoint, options.log);
    std::optional<checkpoint::Calibration> calibration;
    if (!options.calibration.empty()) calibration = checkpoint::Calibration::open(options.calibration);
    auto opened =
        std::make_shared<detail::OpenedFiles>(checkpoint, checkpoint::ParameterFiles::open(options.parameters));
    ExtendedSource extended(*checkpoint, opened->further);
    CalibratedSource source(extended, calibration);
    if (!options.packed.empty()) PackedFile::make_folder(options.packed);
    BasicModel model(source, opened, std::move(assets), options);
    if (calibration) calibration->require_used();
    opened->further.require_used();
    if (options.log)
        for (const auto& name : checkpoint->unused())
            options.log(path + ": tensor '" + name + "' is used by nothing in this model");
    return model;
}

}  // namespace qwen3vl
