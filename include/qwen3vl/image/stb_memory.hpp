#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::image {

/// The heap that stb_image sees while one picture is decoded: capped, and freed as a whole when it goes out of scope. A
/// file that makes the decoder ask for more, leak, or fail half-way through therefore costs no more than the cap and
/// leaves nothing behind.
class StbMemory {
  public:
    /// Becomes the thread's heap of at most `limit` bytes until it goes out of scope.
    explicit StbMemory(std::size_t limit) : limit_(limit), outer_(current_) { current_ = this; }
    StbMemory(const StbMemory&) = delete;
    StbMemory& operator=(const StbMemory&) = delete;
    ~StbMemory() {
        current_ = outer_;
        while (first_) {
            Block* next = first_->next;
            std::free(first_);
            first_ = next;
        }
    }

    /// Zeroed memory, so that a damaged file never shows what was there before; nullptr beyond the cap.
    static void* allocate(std::size_t size) { return current_ ? current_->take(size) : nullptr; }
    /// Gives back a block; null is no block.
    static void release(void* p) {
        if (current_ && p) current_->give(p);
    }
    /// Moves a block to one of `size` bytes; null beyond the cap, and then the block stays.
    static void* reallocate(void* p, std::size_t old_size, std::size_t size) {
        void* grown = allocate(size);
        if (!grown || !p) return grown;
        std::memcpy(grown, p, std::min(old_size, size));
        release(p);
        return grown;
    }

  private:
    struct alignas(16) Block {
        Block *next, *previous;
        std::size_t size;
    };
    void* take(std::size_t size) {
        if (size > limit_ - used_) return nullptr;
        auto* block = static_cast<Block*>(std::calloc(1, sizeof(Block) + size));
        if (!block) return nullptr;
        used_ += size;
        *block = {first_, nullptr, size};
        if (first_) first_->previous = block;
        first_ = block;
        return block + 1;
    }
    void give(void* p) {
        auto* block = static_cast<Block*>(p) - 1;
        (block->previous ? block->previous->next : first_) = block->next;
        if (block->next) block->next->previous = block->previous;
        used_ -= block->size;
        std::free(block);
    }

    std::size_t limit_ = 0, used_ = 0;
    Block* first_ = nullptr;
    StbMemory* outer_ = nullptr;
    inline static thread_local StbMemory* current_ = nullptr;
};

}  // namespace qwen3vl::image
