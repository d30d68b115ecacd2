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
#include <cstring>

// What is specific to the operating system's files stands here alone.
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

    std::span<const std::byte> bytes() const { return {data_, size_}; }
    const std::string& path() const { return path_; }

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

/// The whole of a file as text. Throws FileError where it cannot be read or is larger than `limit` bytes.
inline std::string read_file(const std::string& path, std::size_t limit = std::size_t{1} << 30) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    if (bytes.size() > limit) throw FileError(path + ": " + std::to_string(bytes.size()) + " bytes, at most " + std::to_string(limit) + " are read");
    return bytes.empty() ? std::string() : std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace qwen3vl
