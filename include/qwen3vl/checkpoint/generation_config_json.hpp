#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <qwen3vl/checkpoint/generation_config.hpp>
#include <qwen3vl/checkpoint/hf_config.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/json/json.hpp>
#include <string>
#include <string_view>
#include <system_error>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

namespace detail {

/// A number that `accept` holds for; throws ConfigError otherwise.
template <class Accept>
std::optional<double> number_in(const json_reader::JsonObject& o, const std::string& key, const std::string& range,
                                Accept accept) {
    const auto v = o.number(key);
    if (v && !accept(*v)) o.fail(key, range, json_reader::JsonObject::text_of(*v));
    return v;
}

inline std::optional<int> single_token(const json_reader::JsonObject& o, const std::string& key) {
    const auto ids = token_ids(o, key);
    if (ids.size() > 1) o.fail(key, "one token id", std::to_string(ids.size()));
    return ids.empty() ? std::nullopt : std::optional(ids.front());
}

}  // namespace detail

/// Throws ConfigError where the text is malformed or a value lies outside its range; fields that are not
/// GenerationConfig's are ignored.
inline GenerationConfig parse_generation_config(std::string_view text, const std::string& file) {
    const nlohmann::json json = json_reader::parse_json(text, file, std::size_t{1} << 20);
    const json_reader::JsonObject o(json, file);
    GenerationConfig g;
    g.do_sample = o.boolean("do_sample");
    g.temperature = detail::number_in(o, "temperature", "a number from 0", [](double v) { return v >= 0; });
    g.top_p = detail::number_in(o, "top_p", "a number from 0 to 1", [](double v) { return v >= 0 && v <= 1; });
    if (const auto k = o.integer("top_k")) {
        if (*k < 0 || *k > std::numeric_limits<int>::max())
            o.fail("top_k", "an integer from 0 to 2^31 - 1", std::to_string(*k));
        g.top_k = static_cast<int>(*k);
    }
    g.min_p = detail::number_in(o, "min_p", "a number from 0 to 1", [](double v) { return v >= 0 && v <= 1; });
    g.repetition_penalty =
        detail::number_in(o, "repetition_penalty", "a number above 0", [](double v) { return v > 0; });
    g.presence_penalty = o.number("presence_penalty");
    g.eos = token_ids(o, "eos_token_id");
    g.bos = detail::single_token(o, "bos_token_id");
    g.pad = detail::single_token(o, "pad_token_id");
    return g;
}

/// Reads folder/generation_config.json; nothing where the folder has none: then config.json's eos_token_id
/// (HfConfig::eos) ends a generation. Throws FileError where it cannot be read, ConfigError where it is malformed.
inline std::optional<GenerationConfig> read_generation_config(const std::string& folder) {
    const std::string path = folder + "/generation_config.json";
    std::error_code error;
    if (!std::filesystem::exists(path, error) && !error) return std::nullopt;
    return parse_generation_config(read_file(path, std::size_t{1} << 20), path);
}

}  // namespace qwen3vl::checkpoint
