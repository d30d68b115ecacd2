#pragma once
#include <cstdio>
#include <cstring>
#include <qwen3vl/memory/buddy_tree.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// A pool's state and history. Sizes in bytes.
struct PoolStatistics {
    std::int64_t reserved = 0;      ///< the whole pool
    std::int64_t in_use = 0;        ///< bytes of the blocks in use
    std::int64_t peak = 0;          ///< maximum of in_use
    std::int64_t asked = 0;         ///< bytes asked for by the blocks in use
    std::int64_t largest_free = 0;  ///< bytes of the largest block that can be had
    /// Calls so far; blocks halved, and joined, by them.
    std::int64_t allocations = 0, frees = 0, splits = 0, joins = 0;

    /// Bytes that no block has.
    std::int64_t free() const { return reserved - in_use; }
    /// Bytes lost to rounding.
    std::int64_t internal_fragmentation() const { return in_use - asked; }
    /// Share of the free bytes that lie outside the largest free block; 0 where none are free.
    double external_fragmentation() const {
        return free() > 0 ? 1.0 - static_cast<double>(largest_free) / static_cast<double>(free()) : 0.0;
    }
};

/// Allocates blocks of 64 * 2^k bytes from one mapping by the buddy system (BuddyTree). Allocating and freeing take
/// time O(log(pool)) and touch no byte of a block. The pool's records lie beside the blocks: at most 40 bytes of
/// address space for 64 of the pool, resident only where blocks begin.
///
/// Used by one thread at a time. A block ends with its pool.
///     Policies<>::with_memory<memory::BuddyPool>
class BuddyPool {
  public:
    static constexpr const char* name = "BuddyPool";
    static constexpr std::int64_t alignment = 64;  ///< bytes, of every block

    /// Stands for a block that defragment() may move. Belongs to the pool that made it and names nothing in another.
    class Handle {
        friend BuddyPool;
        std::uint32_t slot = ~std::uint32_t{0}, generation = 0;
    };
    /// Blocks and bytes that defragment() moved.
    struct Moved {
        std::int64_t blocks = 0, bytes = 0;  ///< of all calls
    };

    BuddyPool() = default;
    /// Maps a pool of `bytes` bytes. Throws OutOfMemory where the system refuses, and beyond 128 GiB.
    explicit BuddyPool(std::int64_t bytes) {
        if (bytes < 0 || bytes > BuddyTree::most_units * alignment)
            throw OutOfMemory("a buddy pool of " + std::to_string(bytes) + " bytes was asked for; the largest has " +
                              std::to_string(BuddyTree::most_units * alignment));
        reserved_ = round_up(bytes, alignment);
        blocks_ = Pages(reserved_);
        blocks_.advise(MADV_HUGEPAGE);
        records_ = Pages(reserved_ / alignment * static_cast<std::int64_t>(sizeof(Record)));
        records_.advise(MADV_NOHUGEPAGE);  // few of them are ever used
        tree_ = BuddyTree(reserved_ / alignment);
    }
    BuddyPool(BuddyPool&& o) noexcept { *this = std::move(o); }
    BuddyPool& operator=(BuddyPool&& o) noexcept {
        std::swap(blocks_, o.blocks_);
        std::swap(records_, o.records_);
        std::swap(tree_, o.tree_);
        std::swap(slots_, o.slots_);
        std::swap(unused_, o.unused_);
        std::swap(reserved_, o.reserved_);
        std::swap(counts_, o.counts_);
        std::swap(zeroed_, o.zeroed_);
        return *this;
    }

    /// Bytes of the pool that an allocation of `bytes` uses. Allocations alone fill a pool of any size to its end:
    /// where none is freed, blocks whose footprints add up to the pool's size fit in any order.
    static constexpr std::int64_t footprint(std::int64_t bytes) { return alignment << order_of(bytes); }

    /// Allocates a block that stays where it is, on a 64-byte boundary; its contents are indeterminate. 0 bytes are a
    /// block of their own. Throws OutOfMemory.
    std::byte* allocate(std::int64_t bytes) { return at(add(bytes, Record{})); }
    /// Allocates a zeroed block that stays where it is, on a 64-byte boundary. Throws OutOfMemory.
    std::byte* take(std::int64_t bytes) {
        std::byte* p = allocate(bytes);
        if (!zeroed_) std::memset(p, 0, static_cast<std::size_t>(bytes));
        return p;
    }
    /// Gives back a block of allocate() or take(). Throws InvalidBlock where `block` is not the address of one in use;
    /// nothing changes then.
    void free(const void* block) {
        const std::uint64_t offset =
            reinterpret_cast<std::uintptr_t>(block) - reinterpret_cast<std::uintptr_t>(blocks_.data());
        if (offset >= static_cast<std::uint64_t>(reserved_)) refuse(block, "lies outside the pool");
        const auto unit = static_cast<std::int64_t>(offset / alignment);
        if (offset % alignment != 0 || record(unit) == 0)
            refuse(block, "is not the start of a block in use: freed before, or never allocated");
        if (record(unit) & movable) refuse(block, "is a movable block; free its handle");
        release(unit);
    }

    /// Allocates a block that defragment() may move. Throws OutOfMemory.
    Handle allocate_movable(std::int64_t bytes) {
        if (unused_ == slots_.size()) slots_.push_back({-1, 0, unused_ + 1});
        Slot& slot = slots_[unused_];
        slot.unit = add(bytes, movable);
        Handle handle;
        handle.slot = std::exchange(unused_, slot.next_unused);
        handle.generation = slot.generation;
        return handle;
    }
    /// Address of the block, valid until the next defragment(). Throws InvalidBlock where it is in use no more.
    std::byte* address(Handle handle) const { return at(slots_[slot_of(handle)].unit); }
    /// Frees the block. Throws InvalidBlock where it is in use no more; nothing changes then.
    void free(Handle handle) {
        const std::uint32_t index = slot_of(handle);
        Slot& slot = slots_[index];
        release(std::exchange(slot.unit, -1));
        ++slot.generation;
        slot.next_unused = std::exchange(unused_, index);
    }

    /// Moves blocks with handles to the lowest free addresses, until none can be lower. Passes of O(n log n) for n free
    /// and movable blocks. Where all blocks have handles, the free blocks all differ in size afterwards. The largest
    /// then has more than half of the free bytes, and any block fits whose footprint does not exceed them.
    Moved defragment() {
        Moved all;
        for (Moved pass = lower_blocks(); pass.blocks > 0; pass = lower_blocks()) {
            all.blocks += pass.blocks;
            all.bytes += pass.bytes;
        }
        return all;
    }

    /// Bytes of the pool.
    std::int64_t size() const { return reserved_; }
    /// State and history of the pool.
    PoolStatistics statistics() const {
        PoolStatistics s = counts_;
        s.reserved = reserved_;
        s.largest_free = tree_.largest() * alignment;
        s.splits = tree_.splits();
        s.joins = tree_.joins();
        return s;
    }

  private:
    /// Record of the unit that a block in use begins with: the bytes it was asked for with, plus 1, and the bit
    /// `movable`. 0 for all other units.
    using Record = std::uint64_t;
    static constexpr Record movable = Record{1} << 63;
    struct Slot {
        std::int64_t unit;  ///< -1: unused
        std::uint32_t generation, next_unused;
    };

    static constexpr int order_of(std::int64_t bytes) {
        const auto n = static_cast<std::uint64_t>(bytes);  // of a negative number: larger than any pool
        return static_cast<int>(std::bit_width((n - (n != 0)) / alignment));
    }
    static std::int64_t asked(Record r) { return static_cast<std::int64_t>((r & ~movable) - 1); }
    Record& record(std::int64_t unit) { return reinterpret_cast<Record*>(records_.data())[unit]; }
    std::byte* at(std::int64_t unit) const { return blocks_.data() + unit * alignment; }

    std::int64_t add(std::int64_t bytes, Record kind) {
        const int order = order_of(bytes);
        if (!tree_.has(order)) throw_full(bytes);
        const std::int64_t unit = tree_.take(order);
        record(unit) = (static_cast<Record>(bytes) + 1) | kind;
        ++counts_.allocations;
        counts_.asked += bytes;
        counts_.in_use += alignment << order;
        counts_.peak = std::max(counts_.peak, counts_.in_use);
        return unit;
    }
    void release(std::int64_t unit) {
        const std::int64_t bytes = asked(std::exchange(record(unit), 0));
        const int order = order_of(bytes);
        ++counts_.frees;
        counts_.asked -= bytes;
        counts_.in_use -= alignment << order;
        zeroed_ = false;
        tree_.give(unit, order);
    }
    std::uint32_t slot_of(Handle handle) const {
        if (handle.slot >= slots_.size() || slots_[handle.slot].unit < 0 ||
            slots_[handle.slot].generation != handle.generation)
            throw InvalidBlock("a handle names no block in use of the pool: freed before, or never allocated");
        return handle.slot;
    }
    /// Runs one pass from the highest address down. The places that moved blocks leave lie above all that follow, so
    /// they are freed at the end.
    Moved lower_blocks() {
        std::vector<Slot*> slots;
        for (Slot& s : slots_)
            if (s.unit >= 0) slots.push_back(&s);
        std::sort(slots.begin(), slots.end(), [](const Slot* a, const Slot* b) { return a->unit > b->unit; });
        std::vector<std::pair<std::int64_t, int>> left;  // unit, order
        left.reserve(slots.size());
        tree_.sort();
        Moved moved;
        for (Slot* s : slots) {
            const std::int64_t bytes = asked(record(s->unit));
            const auto to = tree_.take_lowest(order_of(bytes), s->unit);
            if (!to) continue;
            std::memcpy(at(*to), at(s->unit), static_cast<std::size_t>(bytes));
            record(*to) = std::exchange(record(s->unit), 0);
            left.emplace_back(std::exchange(s->unit, *to), order_of(bytes));
            ++moved.blocks;
            moved.bytes += bytes;
        }
        for (const auto& [unit, order] : left) tree_.give(unit, order);
        if (!left.empty()) zeroed_ = false;
        return moved;
    }

    [[noreturn]] void throw_full(std::int64_t bytes) const {
        const PoolStatistics s = statistics();
        throw OutOfMemory("a buddy pool of " + std::to_string(s.reserved) + " bytes has " + std::to_string(s.free()) +
                          " free, the largest block of them " + std::to_string(s.largest_free) + "; " +
                          std::to_string(bytes) + " were asked for");
    }
    [[noreturn]] static void refuse(const void* block, const char* why) {
        char text[2 + 2 * sizeof block + 1];
        std::snprintf(text, sizeof text, "%p", block);
        throw InvalidBlock(std::string("the block at ") + text + " cannot be freed: it " + why);
    }

    Pages blocks_, records_;  ///< Record [units]
    BuddyTree tree_;
    std::vector<Slot> slots_;
    std::uint32_t unused_ = 0;  ///< first unused slot, slots_.size() where there is none
    std::int64_t reserved_ = 0;
    PoolStatistics counts_;
    bool zeroed_ = true;  ///< no byte of a free block was ever in use
};

}  // namespace qwen3vl::memory
