#pragma once
#include <cstddef>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <utility>

#include <sys/mman.h>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// One zeroed block, mapped once and handed out from the front; nothing is given back before the whole. The plan's sums are its size.
class Arena {
  public:
    static constexpr const char* name = "Arena";
    static constexpr std::int64_t alignment = 64;

    Arena() = default;
    /// Throws OutOfMemory where the system refuses.
    explicit Arena(std::int64_t bytes) : size_(round_up(bytes, 4096)) {
        if (size_ == 0) return;
        void* p = ::mmap(nullptr, static_cast<std::size_t>(size_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) throw OutOfMemory("cannot map " + std::to_string(size_) + " bytes of memory");
        ::madvise(p, static_cast<std::size_t>(size_), MADV_HUGEPAGE);
        data_ = static_cast<std::byte*>(p);
    }
    Arena(Arena&& o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)), used_(std::exchange(o.used_, 0)) {}
    Arena& operator=(Arena&& o) noexcept {
        std::swap(data_, o.data_);
        std::swap(size_, o.size_);
        std::swap(used_, o.used_);
        return *this;
    }
    ~Arena() {
        if (data_) ::munmap(data_, static_cast<std::size_t>(size_));
    }

    /// What take(bytes) uses up.
    static constexpr std::int64_t footprint(std::int64_t bytes) { return round_up(bytes, alignment); }
    /// The next `bytes` bytes, zeroed on first use. Throws OutOfMemory beyond the plan.
    std::byte* take(std::int64_t bytes) {
        if (bytes > size_ - used_)
            throw OutOfMemory("the arena's plan holds " + std::to_string(size_) + " bytes; " + std::to_string(used_ + bytes) + " were asked for");
        return data_ + std::exchange(used_, used_ + footprint(bytes));
    }
    float* floats(std::int64_t count) { return reinterpret_cast<float*>(take(count * static_cast<std::int64_t>(sizeof(float)))); }
    std::int64_t size() const { return size_; }

  private:
    std::byte* data_ = nullptr;
    std::int64_t size_ = 0, used_ = 0;
};

}  // namespace qwen3vl::memory
