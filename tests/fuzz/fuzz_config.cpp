// Any text as config.json and as generation_config.json: checked against every shipped Dims, or refused with a
// ConfigError.
#include <cstdint>
#include <qwen3vl/checkpoint/generation_config_json.hpp>
#include <qwen3vl/checkpoint/hf_config.hpp>
#include <qwen3vl/testing/models.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qwen3vl;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const auto config = checkpoint::HfConfig::parse(text, "config.json");
        for_each_type<models::shipped_and_golden>(
            [&](auto tag) { checkpoint::matches<typename decltype(tag)::type>(config); });
        config.eos();
    } catch (const ConfigError&) {
    }
    try {
        checkpoint::parse_generation_config(text, "generation_config.json");
    } catch (const ConfigError&) {
    }
    return 0;
}
