#pragma once
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <qwen3vl/core/error.hpp>
#include <span>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A file that appears under its name only when it is complete. The bytes go to `path` + ".partial", which finish()
/// renames; otherwise the destructor removes it. Every failure (a full disk too) is a FileError.
class OutputFile {
  public:
    /// Creates the partial file, or empties one that is there. Throws FileError.
    explicit OutputFile(std::string path)
        : path_(std::move(path)), partial_(path_ + ".partial"), file_(std::fopen(partial_.c_str(), "wb")) {
        if (!file_) throw FileError(partial_ + ": cannot create: " + std::strerror(errno));
    }
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    ~OutputFile() {
        if (finished_) return;
        file_.reset();
        std::remove(partial_.c_str());
    }

    /// Appends bytes. Throws FileError where the disk is full or fails.
    void write(std::span<const std::byte> bytes) {
        if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
            fail("cannot write");
    }
    /// Appends a text. Throws as the other.
    void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

    /// Gives the file its name, replacing one that was there.
    void finish() {
        if (std::fclose(file_.release()) != 0) fail("cannot write");
        if (std::rename(partial_.c_str(), path_.c_str()) != 0) fail("cannot rename to " + path_);
        finished_ = true;
    }

  private:
    struct Close {
        void operator()(std::FILE* f) const { std::fclose(f); }
    };
    [[noreturn]] void fail(const std::string& what) const {
        throw FileError(partial_ + ": " + what + ": " + std::strerror(errno));
    }

    std::string path_, partial_;
    std::unique_ptr<std::FILE, Close> file_;
    bool finished_ = false;
};

/// Writes a whole text file, as OutputFile does.
inline void write_text_file(const std::string& path, std::string_view text) {
    OutputFile file(path);
    file.write(text);
    file.finish();
}

}  // namespace qwen3vl
