#pragma once
#include <qwen3vl/memory/pages.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// Maps one zeroed block and hands it out from the front; nothing is given back before the whole. Its size is the sum
/// of the plan's parts.
///     Policies<>::with_memory<memory::Arena>
class Arena {
  public:
    static constexpr const char* name = "Arena";
    static constexpr std::int64_t alignment = 64;  ///< bytes, of every block

    Arena() = default;
    /// Maps `bytes` bytes. Throws OutOfMemory where the system refuses.
    explicit Arena(std::int64_t bytes) : pages_(bytes) { pages_.advise(MADV_HUGEPAGE); }
    Arena(Arena&& o) noexcept : pages_(std::move(o.pages_)), used_(std::exchange(o.used_, 0)) {}
    Arena& operator=(Arena&& o) noexcept {
        std::swap(pages_, o.pages_);
        std::swap(used_, o.used_);
        return *this;
    }

    /// Bytes of the arena that take(bytes) uses.
    static constexpr std::int64_t footprint(std::int64_t bytes) { return round_up(bytes, alignment); }
    /// Takes the next `bytes` bytes, zeroed on first use. Throws OutOfMemory beyond the plan.
    std::byte* take(std::int64_t bytes) {
        if (bytes > size() - used_)
            throw OutOfMemory("the arena's plan holds " + std::to_string(size()) + " bytes; " +
                              std::to_string(used_ + bytes) + " were asked for");
        return pages_.data() + std::exchange(used_, used_ + footprint(bytes));
    }
    /// Takes `count` floats, as take() their bytes.
    float* floats(std::int64_t count) {
        return reinterpret_cast<float*>(take(count * static_cast<std::int64_t>(sizeof(float))));
    }
    /// Bytes of the whole block, taken or not.
    std::int64_t size() const { return pages_.size(); }

  private:
    Pages pages_;
    std::int64_t used_ = 0;
};

}  // namespace qwen3vl::memory
