// qwen3vl preprocess: what the vision tower reads of a picture, written as safetensors; or a comparison with recorded
// reference values.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/checkpoint/gguf_defaults.hpp>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include <qwen3vl/image/preprocessor_config.hpp>
#include "commands.hpp"
#include "model_options.hpp"

namespace commands::preprocess {
namespace q = qwen3vl;
namespace fs = std::filesystem;

struct Options {
    std::string image, output, config, model, mmproj, cases, images;
};

/// What the vision part of a GGUF model says, through `read`.
template <class Read>
auto gguf_config(const Options& options, Read read) {
    const auto gguf = q::checkpoint::GgufCheckpoint::open(options.model, options.mmproj);
    if (!gguf.vision()) throw q::ConfigError(options.model + ": a text-only model, which reads no pictures");
    return read(*gguf.vision());
}

/// The file that --config names, or that of the folder that --model names.
std::string config_file(const Options& options, const char* name) {
    if (options.model.empty()) return options.config;
    q::checkpoint::require_folder(options.model);
    return options.model + name;
}

q::PreprocessorConfig picture_config(const Options& options) {
    if (q::checkpoint::GgufCheckpoint::is_path(options.model))
        return gguf_config(options, q::checkpoint::gguf_preprocessor_config);
    return q::image::read_preprocessor_config(config_file(options, "/preprocessor_config.json"));
}
q::VideoPreprocessorConfig clip_config(const Options& options) {
    if (q::checkpoint::GgufCheckpoint::is_path(options.model))
        return gguf_config(options, q::checkpoint::gguf_video_preprocessor_config);
    return q::image::read_video_preprocessor_config(config_file(options, "/video_preprocessor_config.json"));
}

/// The numbers of a tensor. Throws LoadError where the tensor is missing or of another dtype.
template <class T>
std::vector<T> values_of(const q::checkpoint::SafetensorsFile& file, const std::string& name, q::DType dtype) {
    const auto& view = file.at(name);
    if (view.dtype != dtype)
        throw q::LoadError(file.path(), name, std::string(q::dtype_name(dtype)),
                           std::string(q::dtype_name(view.dtype)));
    std::vector<T> values(static_cast<std::size_t>(view.elements()));
    if (!values.empty()) std::memcpy(values.data(), view.data, view.bytes());
    return values;
}

/// How far values are from the reference, in steps of one 8-bit level.
struct Difference {
    double largest = 0, mean = 0, equal_share = 1;
};

Difference difference(const std::vector<float>& ours, const std::vector<float>& reference,
                      const q::PatchLayout& layout) {
    const std::size_t channel = layout.row_floats() / 3;
    Difference d;
    double sum = 0;
    std::size_t equal = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        const double levels_per_unit =
            static_cast<double>(layout.std[i % layout.row_floats() / channel]) / layout.rescale_factor;
        const double steps =
            std::abs(static_cast<double>(ours[i]) - static_cast<double>(reference[i])) * levels_per_unit;
        d.largest = std::isfinite(steps) ? std::max(d.largest, steps) : std::numeric_limits<double>::infinity();
        sum += steps;
        equal += steps < 0.01;  // float rounding is some 1e-5 of a step
    }
    d.mean = sum / static_cast<double>(std::max<std::size_t>(ours.size(), 1));
    d.equal_share = static_cast<double>(equal) / static_cast<double>(std::max<std::size_t>(ours.size(), 1));
    return d;
}

/// Compares case after case and keeps count. A JPEG passes where its mean difference is below one step (decoders
/// differ), everything else where no value is off by more than one step and 99.5 % are equal.
class Comparison {
  public:
    void add(const std::string& name, bool jpeg, const q::Patches& ours, std::vector<std::int32_t> grid,
             const std::vector<float>& reference, const q::PatchLayout& layout) {
        const std::vector<std::int32_t> our_grid{ours.grid.t, ours.grid.h, ours.grid.w};
        if (grid != our_grid) return fail(name, "grid " + text(our_grid) + ", expected " + text(grid));
        if (reference.size() != ours.values.size())
            return fail(name,
                        std::to_string(ours.values.size()) + " values, expected " + std::to_string(reference.size()));
        const auto d = difference(ours.values, reference, layout);
        const bool pass = jpeg ? d.mean < 1 : d.largest <= 1.01 && d.equal_share >= 0.995;
        char line[160];
        std::snprintf(line, sizeof line, "largest difference %.3f steps, mean %.5f, equal %.3f %%", d.largest, d.mean,
                      100 * d.equal_share);
        if (!pass) return fail(name, line);
        ++equal_;
        std::printf("pass  %-28s %s\n", name.c_str(), line);
    }
    void fail(const std::string& name, const std::string& why) {
        constexpr int shown = 20;
        if (++unequal_ <= shown) std::printf("FAIL  %-28s %s\n", name.c_str(), why.c_str());
    }
    /// Prints the count; 0 where every case passed and there was one.
    int finish() const {
        std::printf("%d equal, %d unequal\n", equal_, unequal_);
        return unequal_ == 0 && equal_ > 0 ? 0 : 1;
    }
    static std::string text(const auto& numbers) {
        std::string s;
        for (const auto& n : numbers) s += (s.empty() ? "" : " ") + std::to_string(n);
        return s;
    }

  private:
    int equal_ = 0, unequal_ = 0;
};

q::Video recorded_clip(const q::checkpoint::SafetensorsFile& file, const std::string& name) {
    const auto pixels = values_of<std::uint8_t>(file, name + ".frames", q::DType::u8);
    const auto& shape = file.at(name + ".frames").shape;
    if (shape.size() != 4 || shape[3] != 3 || *std::max_element(shape.begin(), shape.end()) > (1 << 24))
        throw q::LoadError(file.path(), name + ".frames", "shape [frames, height, width, 3]", q::shape_text(shape));
    std::vector<q::Image> frames;
    const auto frame_bytes = pixels.size() / static_cast<std::size_t>(std::max<std::int64_t>(shape[0], 1));
    for (std::int64_t i = 0; i < shape[0]; ++i)
        frames.push_back(
            q::Image::from_rgb(static_cast<int>(shape[2]), static_cast<int>(shape[1]),
                               std::span(pixels).subspan(static_cast<std::size_t>(i) * frame_bytes, frame_bytes)));
    const auto fps = values_of<float>(file, name + ".source_fps", q::DType::f32);
    return q::Video::from_frames(std::move(frames), fps.empty() ? 0.0 : static_cast<double>(fps[0]));
}

void compare_clip(const q::checkpoint::SafetensorsFile& file, const std::string& name,
                  q::VideoPreprocessorConfig config, Comparison& comparison) {
    const auto sample_fps = values_of<float>(file, name + ".sample_fps", q::DType::f32);
    if (!sample_fps.empty()) config.fps = sample_fps[0];
    const auto ours = q::preprocess(recorded_clip(file, name), config);
    const auto indices = values_of<std::int32_t>(file, name + ".indices", q::DType::i32);
    const auto times = values_of<float>(file, name + ".times", q::DType::f32);
    if (!std::equal(indices.begin(), indices.end(), ours.indices.begin(), ours.indices.end()))
        return comparison.fail(name,
                               "frames " + Comparison::text(ours.indices) + ", expected " + Comparison::text(indices));
    const auto same_time = [](float reference, double time) {
        return std::abs(reference - static_cast<float>(time)) <= 1e-6f * std::max(1.0f, reference);
    };
    if (!std::equal(times.begin(), times.end(), ours.times.begin(), ours.times.end(), same_time))
        return comparison.fail(name, "times " + Comparison::text(ours.times) + ", expected " + Comparison::text(times));
    comparison.add(name, false, ours.patches, values_of<std::int32_t>(file, name + ".grid_thw", q::DType::i32),
                   values_of<float>(file, name + ".pixel_values", q::DType::f32), config.layout);
}

void compare_picture(const q::checkpoint::SafetensorsFile& file, const std::string& name, const std::string& folder,
                     const q::PreprocessorConfig& config, Comparison& comparison) {
    const auto path = (fs::path(folder) / name).string();
    // The reference does not turn pictures by their EXIF orientation.
    const auto ours = q::preprocess(q::Image::open(path, {.exif_orientation = false}), config);
    const bool jpeg =
        q::image::read_image_header(q::MappedFile(path).bytes(), path).format == q::image::ImageKind::jpeg;
    comparison.add(name, jpeg, ours, values_of<std::int32_t>(file, name + ".grid_thw", q::DType::i32),
                   values_of<float>(file, name + ".pixel_values", q::DType::f32), config.layout);
}

int compare(const Options& options) {
    const auto file = q::checkpoint::SafetensorsFile::open(options.cases);
    Comparison comparison;
    constexpr std::string_view suffix = ".pixel_values";
    for (const auto& [key, view] : file.tensors()) {
        if (!key.ends_with(suffix)) continue;
        const std::string name = key.substr(0, key.size() - suffix.size());
        try {
            if (file.find(name + ".frames"))
                compare_clip(file, name, clip_config(options), comparison);
            else
                compare_picture(file, name, options.images, picture_config(options), comparison);
        } catch (const q::Error& error) {
            comparison.fail(name, error.what());
        }
    }
    return comparison.finish();
}

int write(const Options& options) {
    const auto patches = q::preprocess(q::Image::open(options.image), picture_config(options));
    const std::array<std::int32_t, 3> grid{patches.grid.t, patches.grid.h, patches.grid.w};
    const std::int64_t rows = patches.grid.patches();
    q::checkpoint::write_safetensors(
        options.output,
        {{"pixel_values",
          {q::DType::f32,
           {rows, static_cast<std::int64_t>(patches.values.size()) / rows},
           reinterpret_cast<const std::byte*>(patches.values.data()),
           options.output}},
         {"grid_thw", {q::DType::i32, {1, 3}, reinterpret_cast<const std::byte*>(grid.data()), options.output}}});
    std::printf("%s: pixel_values [%lld, %zu], grid %d x %d x %d\n", options.output.c_str(),
                static_cast<long long>(rows), patches.values.size() / static_cast<std::size_t>(rows), grid[0], grid[1],
                grid[2]);
    return 0;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand(
        "preprocess", "Write what the vision tower reads of a picture, or compare with recorded reference values");
    command->add_option("image", options->image, "a JPEG, PNG or WebP picture");
    command->add_option("-o,--output", options->output,
                        "the safetensors file to write: pixel_values [patches, 1536] and grid_thw [1, 3]");
    auto* config =
        command->add_option("--config", options->config,
                            "the preprocessor_config.json to follow, for clips the video_preprocessor_config.json");
    command
        ->add_option("--model", options->model,
                     "a checkpoint folder whose two files of these names are followed, or a .gguf file")
        ->excludes(config);
    ModelOptions::add_mmproj(*command, options->mmproj);
    command->add_option(
        "--cases", options->cases,
        "a safetensors file of reference values, NAME.pixel_values and NAME.grid_thw (and NAME.frames for clips)");
    command->add_option("--images", options->images, "the folder that holds the cases' pictures, by their names");
    command->footer(
        "Examples:\n  qwen3vl preprocess street.jpg -o street.safetensors --model Qwen3-VL-2B-Instruct\n"
        "  qwen3vl preprocess --config preprocessor_config.json --cases image_cases.safetensors --images images");
    command->callback([options, &exit_code] {
        if (options->config.empty() && options->model.empty())
            throw CLI::ValidationError("preprocess", "--config FILE or --model MODEL is required");
        if (options->cases.empty() == options->image.empty())
            throw CLI::ValidationError("preprocess", "either IMAGE with -o FILE or --cases FILE is required");
        if (!options->image.empty() && options->output.empty())
            throw CLI::ValidationError("preprocess", "-o FILE is required");
        try {
            exit_code = options->cases.empty() ? write(*options) : compare(*options);
        } catch (const q::Error& error) {
            std::fprintf(stderr, "qwen3vl preprocess: %s\n", error.what());
            exit_code = 2;
        }
    });
}

}  // namespace commands::preprocess
