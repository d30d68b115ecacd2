#pragma once
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A file that is read in pieces from the disk into the caller's memory, past the system's page cache (O_DIRECT). Data
/// read once and dropped leave nothing behind. On a file system that has no such reads, they go through the cache, and
/// the pages are given back after each one (posix_fadvise). Threads may read at once.
class UncachedFile {
  public:
    /// Alignment in bytes of offsets and addresses.
    static constexpr std::int64_t alignment = 4096;

    UncachedFile() = default;
    /// Throws FileError where it cannot be opened or is no regular file.
    explicit UncachedFile(const std::string& path) : UncachedFile(path, path) {}
    /// `name` is the file's later name, which errors state.
    UncachedFile(const std::string& path, const std::string& name)
        : path_(name), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT)) {
        if (fd_ < 0 && errno == EINVAL) {
            fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
            direct_ = false;
        }
        if (fd_ < 0) throw FileError(path + ": cannot open: " + std::strerror(errno));
        struct stat status {};
        if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
            ::close(fd_);
            throw FileError(path + ": not a regular file");
        }
        size_ = status.st_size;
    }
    UncachedFile(UncachedFile&& o) noexcept { *this = std::move(o); }
    UncachedFile& operator=(UncachedFile&& o) noexcept {
        std::swap(path_, o.path_);
        std::swap(fd_, o.fd_);
        std::swap(size_, o.size_);
        direct_ = o.direct_.exchange(direct_);
        return *this;
    }
    ~UncachedFile() {
        if (fd_ >= 0) ::close(fd_);
    }

    /// Path as it was given, or the later name.
    const std::string& path() const { return path_; }
    /// Bytes that it had when it was opened.
    std::int64_t size() const { return size_; }
    /// True if reads bypass the page cache.
    bool direct() const { return direct_.load(std::memory_order_relaxed); }

    /// Reads bytes [offset, offset + bytes) to `out`, which has room for as many in whole units of `alignment`. Throws
    /// FileError where the disk fails or the file is shorter than that.
    void read(std::int64_t offset, std::int64_t bytes, std::byte* out) const {
        for (std::int64_t done = 0; done < bytes;) {
            const ssize_t n =
                ::pread(fd_, out + done, static_cast<std::size_t>(round_up(bytes - done, alignment)), offset + done);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EINVAL && direct()) {  // a file system that opens files so and does not read them
                ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) & ~O_DIRECT);
                direct_.store(false, std::memory_order_relaxed);
                continue;
            }
            if (n < 0)
                throw FileError(path_ + ": cannot read " + std::to_string(bytes) + " bytes at " +
                                std::to_string(offset) + ": " + std::strerror(errno));
            const std::int64_t next = done + n < bytes ? (done + n) / alignment * alignment : done + n;
            if (next == done)
                throw FileError(path_ + ": expected " + std::to_string(bytes) + " bytes at " + std::to_string(offset) +
                                ", the file ends after " + std::to_string(done + n) +
                                " of them; it was cut short since it was opened");
            done = next;
        }
        if (!direct()) ::posix_fadvise(fd_, offset, bytes, POSIX_FADV_DONTNEED);
    }

  private:
    std::string path_;
    int fd_ = -1;
    std::int64_t size_ = 0;
    mutable std::atomic<bool> direct_{true};
};

}  // namespace qwen3vl
