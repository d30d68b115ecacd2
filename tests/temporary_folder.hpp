#pragma once
#include <stdlib.h>
#include <cstdint>
#include <filesystem>
#include <qwen3vl/core/output_file.hpp>
#include <string>
#include <string_view>
#include "catch.hpp"

/// A folder that is removed with all it holds at the end of a test.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "qwen3vl_test_XXXXXX").string();
        if (!mkdtemp(name.data())) throw qwen3vl::FileError(name + ": cannot make a temporary folder");
        path_ = name;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }
    /// The path of a file of the folder.
    std::string file(const std::string& name) const { return path_ + "/" + name; }
    /// Writes it and returns its path.
    std::string write(const std::string& name, std::string_view content) const {
        qwen3vl::write_text_file(file(name), content);
        return file(name);
    }

  private:
    std::string path_;
};

/// The bytes of a safetensors file with this header and so many bytes of data.
inline std::string safetensors_bytes(std::string_view header, std::size_t data_bytes) {
    std::string out;
    for (int i = 0; i < 8; ++i) out += static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i) & 0xff);
    out += header;
    return out + std::string(data_bytes, '\x01');
}

/// Matches a text that holds `part`; Catch2 2 and 3 name the matcher differently.
inline auto contains(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
    return Catch::Matchers::ContainsSubstring(part);
#else
    return Catch::Matchers::Contains(part);
#endif
}

/// The message of the exception E that f throws; empty where it throws none. Other exceptions pass through.
template <class E, class F>
std::string message_of(F&& f) {
    try {
        f();
    } catch (const E& e) {
        return e.what();
    }
    return "";
}
