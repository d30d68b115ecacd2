#pragma once
#include <fstream>
#include <nlohmann/json.hpp>
#include <qwen3vl/core/error.hpp>
#include <string>

namespace bench {

/// Writes what --json asked for; nothing where it was not given. Throws FileError.
inline void write_json(const std::string& path, const nlohmann::ordered_json& result) {
    if (path.empty()) return;
    std::ofstream file(path);
    file << result.dump(2) << '\n';
    if (!file.flush()) throw qwen3vl::FileError(path + ": cannot write");
}

}  // namespace bench
