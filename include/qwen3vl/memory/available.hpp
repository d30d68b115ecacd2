#pragma once
#include <cstdint>
#include <fstream>
#include <optional>
#include <qwen3vl/core/config.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// Bytes that can be allocated without swapping (MemAvailable of /proc/meminfo); nothing where the system does not
/// tell.
inline std::optional<std::int64_t> available() {
    std::ifstream info("/proc/meminfo");
    std::string key, unit;
    for (std::int64_t kib = 0; info >> key >> kib;) {
        if (key == "MemAvailable:") return kib * 1024;
        std::getline(info, unit);
    }
    return std::nullopt;
}

}  // namespace qwen3vl::memory
