#pragma once
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <csignal>
#include <filesystem>
#include <qwen3vl/core/error.hpp>
#include "catch.hpp"
#include "temporary_folder.hpp"

namespace qwen3vl_test {

/// The descriptor of the one file that this process has open in the folder.
inline int descriptor_of(const TemporaryFolder& folder) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        if (std::filesystem::read_symlink(entry.path(), gone).string().rfind(folder.path(), 0) == 0)
            return std::stoi(entry.path().filename());
    }
    throw qwen3vl::FileError(folder.path() + ": no open file in it");
}

/// Reads and writes of the file fail while this lives: another file stands in its place.
class BrokenDisk {
  public:
    BrokenDisk(int fd, const char* instead, int flags) : fd_(fd), kept_(::dup(fd)) {
        const int other = ::open(instead, flags);
        REQUIRE(other >= 0);
        REQUIRE(::dup2(other, fd_) == fd_);
        ::close(other);
    }
    BrokenDisk(const BrokenDisk&) = delete;
    BrokenDisk& operator=(const BrokenDisk&) = delete;
    ~BrokenDisk() {
        ::dup2(kept_, fd_);
        ::close(kept_);
    }

  private:
    int fd_, kept_;
};

/// No file of this process may grow beyond so many bytes, or be written to there.
class FileLimit {
  public:
    explicit FileLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    FileLimit(const FileLimit&) = delete;
    FileLimit& operator=(const FileLimit&) = delete;
    ~FileLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

  private:
    rlimit before_{};
    void (*handler_)(int);
};

}  // namespace qwen3vl_test
