#pragma once
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <utility>

#include <sys/mman.h>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// Zeroed pages of the system, which become resident where they are written to.
class Pages {
  public:
    Pages() = default;
    /// Maps at least `bytes` bytes, in whole pages; 0: none. Throws OutOfMemory where the system refuses.
    explicit Pages(std::int64_t bytes) : size_(round_up(bytes, 4096)) {
        if (size_ == 0) return;
        void* p = ::mmap(nullptr, static_cast<std::size_t>(size_), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) throw OutOfMemory("cannot map " + std::to_string(size_) + " bytes of memory");
        data_ = static_cast<std::byte*>(p);
    }
    Pages(Pages&& o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}
    Pages& operator=(Pages&& o) noexcept {
        std::swap(data_, o.data_);
        std::swap(size_, o.size_);
        return *this;
    }
    ~Pages() {
        if (data_) ::munmap(data_, static_cast<std::size_t>(size_));
    }

    /// Advice of madvise(2) on all of them.
    void advise(int advice) {
        if (data_) ::madvise(data_, static_cast<std::size_t>(size_), advice);
    }
    /// First byte; null where there are none.
    std::byte* data() const { return data_; }
    /// Bytes, in whole pages.
    std::int64_t size() const { return size_; }

  private:
    std::byte* data_ = nullptr;
    std::int64_t size_ = 0;
};

}  // namespace qwen3vl::memory
