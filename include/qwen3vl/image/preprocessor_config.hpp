#pragma once
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/image/video.hpp>
#include <qwen3vl/json/json.hpp>

/// preprocessor_config.json and video_preprocessor_config.json of a checkpoint folder.
namespace qwen3vl::inline QWEN3VL_ABI::image {

namespace detail {

template <class T>
void read_integer(const json_reader::JsonObject& json, const char* field, std::int64_t least, std::int64_t most,
                  T& value) {
    const auto found = json.integer(field);
    if (!found) return;
    if (*found < least || *found > most)
        json.fail(field, "an integer from " + std::to_string(least) + " to " + std::to_string(most),
                  std::to_string(*found));
    value = static_cast<T>(*found);
}

inline void read_positive(const json_reader::JsonObject& json, const char* field, double& value) {
    const auto found = json.number(field);
    if (!found) return;
    if (!(*found >= 1e-6 && *found <= 1e6)) json.fail(field, "a number from 1e-6 to 1e6", std::to_string(*found));
    value = *found;
}

/// One number for each of red, green and blue, from `least` to 1000.
inline void read_colour_triple(const json_reader::JsonObject& json, const char* field, double least,
                               std::array<float, 3>& value) {
    const auto* found = json.find(field);
    if (!found) return;
    const auto good = [&](const nlohmann::json& x) {
        return x.is_number() && x.get<double>() >= least && x.get<double>() <= 1000;
    };
    if (!found->is_array() || found->size() != 3 || !std::all_of(found->begin(), found->end(), good))
        json.fail(field, "three numbers from " + std::to_string(least) + " to 1000",
                  json_reader::JsonObject::text_of(*found));
    for (std::size_t c = 0; c < 3; ++c) value[c] = (*found)[c].get<float>();
}

/// The area limits: size.shortest_edge and size.longest_edge, over which min_pixels and max_pixels have precedence.
inline void read_limits(const json_reader::JsonObject& json, std::int64_t& least, std::int64_t& most) {
    constexpr std::int64_t largest = std::int64_t{1} << 30;
    if (const auto size = json.object("size")) {
        for (const auto& [edge, pixels] :
             {std::pair{"shortest_edge", "min_pixels"}, std::pair{"longest_edge", "max_pixels"}})
            if (!size->find(edge) && !json.find(pixels)) size->fail(edge, "an integer", "nothing");
        read_integer(*size, "shortest_edge", 1, largest, least);
        read_integer(*size, "longest_edge", 1, largest, most);
    }
    read_integer(json, "min_pixels", 1, largest, least);
    read_integer(json, "max_pixels", 1, largest, most);
    if (least > most)
        json.fail("size", "a least area not above the largest",
                  std::to_string(least) + " above " + std::to_string(most));
}

inline void read_layout(const json_reader::JsonObject& json, PatchLayout& layout) {
    read_integer(json, "patch_size", 1, 256, layout.patch);
    read_integer(json, "merge_size", 1, 16, layout.merge);
    read_integer(json, "temporal_patch_size", 1, 16, layout.temporal_patch);
    read_colour_triple(json, "image_mean", -1000, layout.mean);
    read_colour_triple(json, "image_std", 1e-3, layout.std);
    read_positive(json, "rescale_factor", layout.rescale_factor);
    for (const char* field : {"do_resize", "do_rescale", "do_normalize", "do_convert_rgb"})
        if (json.boolean(field) == false) json.fail(field, "true: this step is always done", "false");
    if (const auto resample = json.integer("resample"); resample && *resample != 3)
        json.fail("resample", "3 (bicubic)", std::to_string(*resample));
}

}  // namespace detail

/// Reads the text of a preprocessor_config.json; absent fields keep the values of the released Qwen3-VL. Throws
/// ConfigError, naming the field, where the JSON is malformed, a value has the wrong type or range, or a step of the
/// preprocessing is turned off.
inline PreprocessorConfig parse_preprocessor_config(std::string_view text, const std::string& name) {
    const auto document = json_reader::parse_json(text, name);
    const json_reader::JsonObject json(document, name);
    PreprocessorConfig config;
    detail::read_layout(json, config.layout);
    detail::read_limits(json, config.min_pixels, config.max_pixels);
    return config;
}

/// Reads the text of a video_preprocessor_config.json; absent fields keep the released values. Throws as above.
inline VideoPreprocessorConfig parse_video_preprocessor_config(std::string_view text, const std::string& name) {
    const auto document = json_reader::parse_json(text, name);
    const json_reader::JsonObject json(document, name);
    VideoPreprocessorConfig config;
    detail::read_layout(json, config.layout);
    detail::read_limits(json, config.min_pixels, config.max_pixels);
    detail::read_integer(json, "min_frames", 1, 1 << 20, config.min_frames);
    detail::read_integer(json, "max_frames", 1, 1 << 20, config.max_frames);
    detail::read_integer(json, "max_video_tokens", 1, 1 << 20, config.max_video_tokens);
    config.cap_pixels_per_frame = json.boolean("cap_pixels_per_frame").value_or(config.cap_pixels_per_frame);
    detail::read_positive(json, "fps", *config.fps);
    if (config.min_frames > config.max_frames)
        json.fail("min_frames", "at most max_frames, " + std::to_string(config.max_frames),
                  std::to_string(config.min_frames));
    return config;
}

/// Reads a preprocessor config from its file. Throws FileError where it cannot be read; else as the functions above.
inline PreprocessorConfig read_preprocessor_config(const std::string& path) {
    return parse_preprocessor_config(read_file(path, std::size_t{1} << 20), path);
}
/// Reads the preprocessor config of clips from its file.
inline VideoPreprocessorConfig read_video_preprocessor_config(const std::string& path) {
    return parse_video_preprocessor_config(read_file(path, std::size_t{1} << 20), path);
}

}  // namespace qwen3vl::image
