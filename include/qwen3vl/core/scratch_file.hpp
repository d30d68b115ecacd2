#pragma once
#include <qwen3vl/core/file.hpp>

#include <sys/statvfs.h>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A file without a name, for data that memory is not to hold. It is gone with the object, or with the process.
///
/// Reads and writes are of whole blocks at multiples of a block, from and to memory aligned likewise. They pass by the
/// system's page cache where the file system and the disk can do so; elsewhere the pages are given back after each.
/// Either way an error of the disk is thrown by the call that meets it.
///     ScratchFile file("/var/tmp", std::int64_t{1} << 30);
class ScratchFile {
  public:
    /// Alignment in bytes of sizes, positions and memory.
    static constexpr std::int64_t block = 512;

    ScratchFile() = default;
    /// Takes room for `size` bytes now, so that a disk is full here and not later. Throws FileError.
    ScratchFile(const std::string& folder, std::int64_t size)
        : size_(size), name_(folder + ": a scratch file of " + std::to_string(size) + " bytes") {
        std::string path = folder + "/qwen3vl-XXXXXX";
        fd_ = ::mkostemp(path.data(), O_CLOEXEC);
        if (fd_ < 0) fail("cannot create", errno);
        ::unlink(path.c_str());
        try {
            reserve();
        } catch (...) {
            ::close(fd_);
            throw;
        }
        pass_by_page_cache();
    }
    ScratchFile(ScratchFile&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)),
          direct_(other.direct_),
          size_(other.size_),
          name_(std::move(other.name_)) {}
    ScratchFile& operator=(ScratchFile&& other) noexcept {
        std::swap(fd_, other.fd_);
        std::swap(direct_, other.direct_);
        std::swap(size_, other.size_);
        std::swap(name_, other.name_);
        return *this;
    }
    ~ScratchFile() {
        if (fd_ >= 0) ::close(fd_);
    }

    /// Fills `out`. Throws FileError where the disk fails or the file has become shorter.
    void read(std::int64_t at, std::span<std::byte> out) const {
        require_whole();
        const std::int64_t begin = at;
        const auto size = static_cast<off_t>(out.size());
        while (!out.empty()) {
            const ssize_t n = ::pread(fd_, out.data(), out.size(), at);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) fail("cannot read at byte " + std::to_string(at), errno);
            if (n == 0) fail("cannot read at byte " + std::to_string(at), EIO);
            out = out.subspan(static_cast<std::size_t>(n));
            at += n;
        }
        if (!direct_) ::posix_fadvise(fd_, begin, size, POSIX_FADV_DONTNEED);
    }
    /// Throws FileError where the disk fails or the file has become shorter.
    void write(std::int64_t at, std::span<const std::byte> bytes) {
        require_whole();
        const std::int64_t begin = at;
        const auto size = static_cast<off_t>(bytes.size());
        while (!bytes.empty()) {
            const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), at);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) fail("cannot write at byte " + std::to_string(at), n < 0 ? errno : ENOSPC);
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            at += n;
        }
        if (direct_) return;
        if (::sync_file_range(fd_, begin, size,
                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) != 0 &&
            errno != ENOSYS)
            fail("cannot write at byte " + std::to_string(begin), errno);
        ::posix_fadvise(fd_, begin, size, POSIX_FADV_DONTNEED);
    }
    /// True if reads and writes bypass the page cache.
    bool direct() const { return direct_; }

  private:
    [[noreturn]] void fail(const std::string& what, int why) const {
        throw FileError(name_ + ": " + what + ": " + std::strerror(why));
    }

    /// Throws FileError where the file was cut short: a write behind the cut would leave zeros.
    void require_whole() const {
        struct stat status {};
        if (::fstat(fd_, &status) != 0) fail("cannot tell its size", errno);
        if (status.st_size < size_)
            throw FileError(name_ + ": found " + std::to_string(status.st_size) +
                            " bytes: the file was cut and what it held is lost; begin anew");
    }
    void reserve() const {
        struct statvfs disk {};
        if (::fstatvfs(fd_, &disk) ==
            0)  // asked first, so that the disk is not full for others while posix_fallocate() finds out
            if (const auto room = static_cast<std::int64_t>(disk.f_bavail) * static_cast<std::int64_t>(disk.f_frsize);
                room < size_)
                throw FileError(name_ + ": no room: the disk has " + std::to_string(room) + " bytes left");
        if (const int why = ::posix_fallocate(fd_, 0, size_); why != 0) fail("no room", why);
    }
    /// Turns the page cache off, if the file can be read so: a file system may take the flag and refuse a block of this
    /// size.
    void pass_by_page_cache() {
        const int flags = ::fcntl(fd_, F_GETFL);
        if (::fcntl(fd_, F_SETFL, flags | O_DIRECT) != 0) return;
        alignas(block) std::byte probe[block];
        direct_ = ::pread(fd_, probe, sizeof probe, 0) >= 0;
        if (!direct_) ::fcntl(fd_, F_SETFL, flags);
    }

    int fd_ = -1;
    bool direct_ = false;
    std::int64_t size_ = 0;
    std::string name_;
};

}  // namespace qwen3vl
