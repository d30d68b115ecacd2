// Any text as config.json and as generation_config.json: checked against every shipped Dims, or refused with a ConfigError.
#include <cstdint>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/io/generation_config_json.hpp>
#include <qwen3vl/io/hf_config.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qwen3vl;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const auto config = io::HfConfig::parse(text, "config.json");
        for_each_type<models::all>([&](auto tag) { io::matches<typename decltype(tag)::type>(config); });
        config.eos();
    } catch (const ConfigError&) {
    }
    try {
        io::parse_generation_config(text, "generation_config.json");
    } catch (const ConfigError&) {
    }
    return 0;
}
