#pragma once
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/error.hpp>
#include <span>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>

// Files by calls of the operating system; scratch_file.hpp and uncached_file.hpp hold the others.
namespace qwen3vl::inline QWEN3VL_ABI {

/// A file mapped read-only. Movable; the mapping goes with it.
class MappedFile {
  public:
    MappedFile() = default;
    /// Maps the whole file. Throws FileError where it cannot be opened or is no regular file.
    explicit MappedFile(const std::string& path) : path_(path) {
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) throw FileError(path + ": cannot open: " + std::strerror(errno));
        struct stat status {};
        const bool known = ::fstat(fd, &status) == 0;
        if (!known || !S_ISREG(status.st_mode)) {
            ::close(fd);
            throw FileError(path + ": not a regular file");
        }
        size_ = static_cast<std::size_t>(status.st_size);
        if (size_ > 0) {
            void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
            if (p == MAP_FAILED) {
                const int why = errno;
                ::close(fd);
                throw FileError(path + ": cannot map " + std::to_string(size_) + " bytes: " + std::strerror(why));
            }
            data_ = static_cast<const std::byte*>(p);
        }
        ::close(fd);
    }
    MappedFile(MappedFile&& other) noexcept { swap(other); }
    MappedFile& operator=(MappedFile&& other) noexcept {
        swap(other);
        return *this;
    }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile() {
        if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
    }

    /// The file's content.
    std::span<const std::byte> bytes() const { return {data_, size_}; }
    /// Path as it was given.
    const std::string& path() const { return path_; }

    /// Tells the system that the whole pages of [data, data + bytes) are not needed soon: they leave this process's
    /// memory, not the file. Nothing happens where the range is not of this mapping.
    void release(const std::byte* data, std::size_t bytes) const {
        if (data < data_ || data + bytes > data_ + size_) return;
        constexpr std::uintptr_t page = 4096;
        const auto begin = (reinterpret_cast<std::uintptr_t>(data) + page - 1) / page * page,
                   end = reinterpret_cast<std::uintptr_t>(data + bytes) / page * page;
        if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }

  private:
    void swap(MappedFile& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(path_, other.path_);
    }
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::string path_;
};

/// A new file of a fixed size, mapped for writing. Its bytes go to a temporary name beside `path`; publish() gives them
/// that name, at once and whole. One that was not published leaves nothing behind.
class WritableFile {
  public:
    WritableFile() = default;
    /// Throws FileError where the file cannot be made or the disk has no room for it.
    WritableFile(const std::string& path, std::size_t size) : path_(path), temporary_(path + ".XXXXXX"), size_(size) {
        const int fd = ::mkstemp(temporary_.data());
        if (fd < 0) throw FileError(path + ": cannot create: " + std::strerror(errno));
        int why =
            ::posix_fallocate(fd, 0, static_cast<off_t>(size));  // now: a full disk behind a mapping would be a signal
        void* p = MAP_FAILED;
        if (why == 0) {
            p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            why = p == MAP_FAILED ? errno : 0;
        }
        ::fchmod(fd, 0644);
        ::close(fd);
        if (why != 0) {
            ::unlink(temporary_.c_str());
            throw FileError(path + ": no room for " + std::to_string(size) + " bytes: " + std::strerror(why));
        }
        data_ = static_cast<std::byte*>(p);
    }
    WritableFile(WritableFile&& other) noexcept { swap(other); }
    WritableFile& operator=(WritableFile&& other) noexcept {
        swap(other);
        return *this;
    }
    WritableFile(const WritableFile&) = delete;
    WritableFile& operator=(const WritableFile&) = delete;
    ~WritableFile() {
        if (data_) ::munmap(data_, size_);
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
    }

    /// The file's content, to be written.
    std::byte* data() const { return data_; }
    /// The name of the file until it is published.
    const std::string& temporary() const { return temporary_; }
    /// Writes the pages of [begin, begin + bytes) to the disk; they leave this process's memory until the next access.
    /// Throws FileError where the disk fails.
    void flush(const std::byte* begin, std::size_t bytes) {
        constexpr std::uintptr_t page = 4096;
        const auto first = reinterpret_cast<std::uintptr_t>(begin) / page * page;
        const std::size_t count = reinterpret_cast<std::uintptr_t>(begin) + bytes - first;
        if (::msync(reinterpret_cast<void*>(first), count, MS_SYNC) != 0)
            throw FileError(path_ + ": cannot write: " + std::strerror(errno));
        ::madvise(reinterpret_cast<void*>(first), count, MADV_DONTNEED);
    }
    /// The bytes stay mapped. Throws FileError.
    void publish() {
        if (::rename(temporary_.c_str(), path_.c_str()) != 0)
            throw FileError(path_ + ": cannot rename to it: " + std::strerror(errno));
        temporary_.clear();
        ::mprotect(data_, size_, PROT_READ);
    }

  private:
    void swap(WritableFile& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(temporary_, other.temporary_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }
    std::string path_, temporary_;
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// The whole of a file as text. Throws FileError where it cannot be read or is larger than `limit` bytes.
inline std::string read_file(const std::string& path, std::size_t limit = std::size_t{1} << 30) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    if (bytes.size() > limit)
        throw FileError(path + ": " + std::to_string(bytes.size()) + " bytes, at most " + std::to_string(limit) +
                        " are read");
    return bytes.empty() ? std::string() : std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace qwen3vl
