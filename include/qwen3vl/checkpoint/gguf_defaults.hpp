#pragma once
#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <qwen3vl/checkpoint/generation_config.hpp>
#include <qwen3vl/checkpoint/gguf.hpp>
#include <qwen3vl/checkpoint/gguf_config.hpp>
#include <qwen3vl/image/video.hpp>
#include <string>
#include <vector>

/// Defaults from a GGUF model's metadata, in place of generation_config.json, preprocessor_config.json and
/// video_preprocessor_config.json.
namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

namespace detail {

/// A number that `accept` holds for; throws ConfigError otherwise.
template <class Accept>
std::optional<double> gguf_number_in(const GgufMetadata& m, const std::string& key, const std::string& range,
                                     Accept accept) {
    const auto v = m.number(key);
    if (v && !accept(*v)) m.fail(key, range, show(*v));
    return v;
}

inline std::optional<int> gguf_integer_in(const GgufMetadata& m, const std::string& key, int least, int most) {
    const auto v = m.integer(key);
    if (v && (*v < least || *v > most))
        m.fail(key, "an integer from " + std::to_string(least) + " to " + std::to_string(most), std::to_string(*v));
    return v ? std::optional(static_cast<int>(*v)) : std::nullopt;
}

inline void read_gguf_triple(const GgufMetadata& m, const std::string& key, double least, std::array<float, 3>& value) {
    const auto found = m.numbers(key, 3);
    if (!found) return;
    if (found->size() != 3 ||
        !std::all_of(found->begin(), found->end(), [&](double x) { return x >= least && x <= 1000; }))
        m.fail(key, "three numbers from " + show(least) + " to 1000", std::to_string(found->size()) + " or others");
    std::transform(found->begin(), found->end(), value.begin(), [](double x) { return static_cast<float>(x); });
}

inline PatchLayout gguf_patch_layout(const GgufFile& vision) {
    const GgufMetadata& m = vision.metadata();
    PatchLayout layout;
    layout.patch = gguf_integer_in(m, "clip.vision.patch_size", 1, 256).value_or(layout.patch);
    layout.merge = gguf_integer_in(m, "clip.vision.spatial_merge_size", 1, 16).value_or(layout.merge);
    layout.temporal_patch = vision.find("v.patch_embd.weight.1") ? 2 : 1;
    read_gguf_triple(m, "clip.vision.image_mean", -1000, layout.mean);
    read_gguf_triple(m, "clip.vision.image_std", 1e-3, layout.std);
    return layout;
}

}  // namespace detail

/// Reads the publisher's sampling defaults, general.sampling.*, which few files have, and the ids that end a
/// generation. A generation ends with eos_token_id, eot_token_id or eom_token_id, and with the control tokens
/// <|im_end|> and <|endoftext|> where the file has them (llama.cpp src/llama-vocab.cpp, `special_eog_ids`).
inline GenerationConfig gguf_generation_config(const GgufMetadata& m) {
    constexpr int largest = std::numeric_limits<int>::max();
    const std::string sampling = "general.sampling.", tokenizer = "tokenizer.ggml.";
    GenerationConfig g;
    g.temperature = detail::gguf_number_in(m, sampling + "temp", "a number from 0", [](double v) { return v >= 0; });
    g.top_p = detail::gguf_number_in(m, sampling + "top_p", "a number from 0 to 1",
                                     [](double v) { return v >= 0 && v <= 1; });
    g.top_k = detail::gguf_integer_in(m, sampling + "top_k", 0, largest);
    g.min_p = detail::gguf_number_in(m, sampling + "min_p", "a number from 0 to 1",
                                     [](double v) { return v >= 0 && v <= 1; });
    g.repetition_penalty =
        detail::gguf_number_in(m, sampling + "penalty_repeat", "a number above 0", [](double v) { return v > 0; });
    if (g.temperature || g.top_p || g.top_k || g.min_p) g.do_sample = true;
    const auto ends = [&](std::optional<std::int64_t> id) {
        if (id && std::find(g.eos.begin(), g.eos.end(), *id) == g.eos.end()) g.eos.push_back(static_cast<int>(*id));
    };
    for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"})
        ends(detail::gguf_integer_in(m, tokenizer + key, 0, largest));
    for (const char* text : {"<|im_end|>", "<|endoftext|>"}) ends(GgufConfig::control_token(m, text));
    g.bos = detail::gguf_integer_in(m, tokenizer + "bos_token_id", 0, largest);
    g.pad = detail::gguf_integer_in(m, tokenizer + "padding_token_id", 0, largest);
    return g;
}

/// Reads the preprocessing of pictures from a vision part. Few files state the limits of a picture's area
/// (clip.vision.image_min_pixels and image_max_pixels). Where one does not, they are in proportion to
/// clip.vision.image_size, the side in pixels of the table of positions. The released checkpoints give the proportion:
/// 256² and 4096² for a side of 768.
inline PreprocessorConfig gguf_preprocessor_config(const GgufFile& vision) {
    constexpr int largest = 1 << 30;
    const GgufMetadata& m = vision.metadata();
    PreprocessorConfig config;
    config.layout = detail::gguf_patch_layout(vision);
    if (const auto side = detail::gguf_integer_in(m, "clip.vision.image_size", 1, 6000)) {
        const std::int64_t third = std::max(*side / 3, 1);
        config.min_pixels = third * third;
        config.max_pixels = 16 * third * (16 * third);
    }
    config.min_pixels = detail::gguf_integer_in(m, "clip.vision.image_min_pixels", 1, largest)
                            .value_or(static_cast<int>(config.min_pixels));
    config.max_pixels = detail::gguf_integer_in(m, "clip.vision.image_max_pixels", 1, largest)
                            .value_or(static_cast<int>(config.max_pixels));
    if (config.min_pixels > config.max_pixels)
        m.fail("clip.vision.image_min_pixels", "at most image_max_pixels, " + std::to_string(config.max_pixels),
               std::to_string(config.min_pixels));
    return config;
}

/// Reads the preprocessing of clips. GGUF has keys for the patch layout alone; the rest are the released values.
inline VideoPreprocessorConfig gguf_video_preprocessor_config(const GgufFile& vision) {
    VideoPreprocessorConfig config;
    config.layout = detail::gguf_patch_layout(vision);
    return config;
}

}  // namespace qwen3vl::checkpoint
