#pragma once
#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <optional>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/scratch_file.hpp>
#include <qwen3vl/memory/role.hpp>
#include <span>
#include <vector>

#include <sys/mman.h>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// Folder for groups that leave memory, and the most bytes of each pool in memory.
struct TierOptions {
    /// A pool without a limit.
    static constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();
    std::string folder = {};  ///< folder of the files on disk, which have no names; empty: nothing leaves memory
    /// Most bytes in memory, by pool.
    std::int64_t attention = unlimited, mlp = unlimited, embedding = unlimited, vision = unlimited;
};

/// A pool's state and history. Sizes in bytes.
struct TierStatistics {
    std::int64_t groups = 0, bytes = 0;               ///< in either tier
    std::int64_t resident = 0, peak = 0;              ///< in memory, and at most so far
    std::int64_t uses = 0, to_disk = 0, fetched = 0;  ///< times that a group was held, left memory, came back
    std::int64_t written = 0, read = 0;               ///< disk traffic
};

/// Blocks of memory that are used together and change the tier together.
struct TierGroup {
    /// Part of a group.
    struct Range {
        std::int64_t begin = 0, bytes = 0;  ///< in the mapping and in the file alike, of whole pages
    };
    Role role;                     ///< purpose, the same for all its blocks
    std::byte* mapping = nullptr;  ///< address that ranges count from
    ScratchFile* file = nullptr;   ///< null: never leaves memory
    std::vector<Range> ranges;     ///< all blocks
    std::int64_t bytes = 0;        ///< of all ranges

    bool resident = true;  ///< in memory
    /// Guards alive; times held, written to disk, read back.
    std::int64_t holders = 0, uses = 0, to_disk = 0, fetched = 0;

  private:
    friend class Tiers;
    static constexpr std::int64_t unit = std::int64_t{1} << 16;
    std::int64_t last = 0, interval = TierOptions::unlimited;  ///< last use and time between uses, by the pool's clock
    bool written = false;                                      ///< the file holds the same bytes as memory
    std::vector<bool> filled;  ///< units of the ranges that are not all zeros, in their order
};

/// Memory and disk for the models and sessions of memory::Tiered that are given it, under one budget for each pool.
/// Held groups are in memory. Of the rest, the group whose next use is predicted to be farthest leaves for the disk
/// (Belady, 1966, "A study of replacement algorithms"). The prediction: as far from its last use as that was from the
/// one before, or, once that time is past, as long again as it has been idle. So towers that see few pictures, and idle
/// sessions, make room for those in use. Addresses stay, and every byte comes back. Blocks of zeros take no time to
/// write or to read.
///
/// Thread-safe; moving a group keeps the other threads waiting. Outlives the models and sessions that it is given to.
///     memory::Tiers tiers({.folder = "/var/tmp", .attention = std::int64_t{2} << 30});
class Tiers {
  public:
    /// Throws ConfigError where a limit is negative, or there is one without a folder.
    explicit Tiers(TierOptions options) : folder_(std::move(options.folder)) {
        const std::int64_t budgets[pool_count] = {options.attention, options.mlp, options.embedding, options.vision};
        for (std::size_t p = 0; p < pool_count; ++p) {
            if (budgets[p] < 0)
                throw ConfigError("TierOptions", pool_names[p], "bytes from 0 on", std::to_string(budgets[p]));
            if (budgets[p] != TierOptions::unlimited && folder_.empty())
                throw ConfigError("TierOptions", "folder",
                                  std::string("a folder on disk, since the pool ") + pool_names[p] + " has a limit",
                                  "none");
            pools_[p].budget = budgets[p];
        }
    }
    Tiers(const Tiers&) = delete;
    Tiers& operator=(const Tiers&) = delete;

    /// Folder of the files; empty: nothing leaves memory.
    const std::string& folder() const { return folder_; }
    /// State and history of a pool, of all models and sessions together.
    TierStatistics statistics(Pool pool) const {
        const std::lock_guard lock(mutex_);
        return of(pool).counts;
    }

    /// Takes groups on, in memory; they keep their addresses until remove(). Throws OutOfMemory where one is larger
    /// than its pool or the held groups leave no room, FileError where others cannot be written; no group is taken on
    /// then.
    void add(std::span<TierGroup> groups) {
        const std::lock_guard lock(mutex_);
        std::size_t added = 0;
        try {
            for (; added < groups.size(); ++added) {
                TierGroup& g = groups[added];
                reserve_tokens(g);
                std::int64_t units = 0;
                for (const auto& r : g.ranges) units += ceil_div(r.bytes, TierGroup::unit);
                g.filled.assign(static_cast<std::size_t>(units), false);
                State& pool = of(g.role.pool);
                pool.groups.push_back(&g);
                ++pool.counts.groups;
                pool.counts.bytes += g.bytes;
                enter(g);
                if (g.role.content == Content::pinned) ++g.holders;
            }
        } catch (...) {
            take_off(groups.first(added));
            throw;
        }
    }
    /// Forgets groups, whose memory the caller owns.
    void remove(std::span<TierGroup> groups) {
        const std::lock_guard lock(mutex_);
        take_off(groups);
    }

    /// Brings a group into memory, where it stays until it was released as often as held. `writes`: the holder may
    /// change it. Throws OutOfMemory where the held groups leave no room, FileError where the disk fails; nothing is
    /// lost then.
    void hold(TierGroup& g, bool writes) {
        const std::lock_guard lock(mutex_);
        State& pool = of(g.role.pool);
        if (!g.resident) {
            reserve_tokens(g);
            fetch(g);
        }
        ++pool.clock;
        if (g.uses++ > 0) g.interval = pool.clock - g.last;
        g.last = pool.clock;
        ++g.holders;
        ++pool.counts.uses;
        if (writes) g.written = false;
    }
    /// Ends one hold() of a group, which may leave memory after its last.
    void release(TierGroup& g) {
        const std::lock_guard lock(mutex_);
        --g.holders;
    }

  private:
    struct State {
        std::int64_t budget = TierOptions::unlimited, clock = 0;
        std::vector<TierGroup*> groups;
        TierStatistics counts;
    };
    State& of(Pool pool) { return pools_[static_cast<std::size_t>(pool)]; }
    const State& of(Pool pool) const { return pools_[static_cast<std::size_t>(pool)]; }

    void enter(TierGroup& g) {
        TierStatistics& counts = of(g.role.pool).counts;
        g.resident = true;
        counts.resident += g.bytes;
        counts.peak = std::max(counts.peak, counts.resident);
    }
    void take_off(std::span<TierGroup> groups) {
        for (TierGroup& g : groups) {
            State& pool = of(g.role.pool);
            std::erase(pool.groups, &g);
            --pool.counts.groups;
            pool.counts.bytes -= g.bytes;
            if (g.resident) pool.counts.resident -= g.bytes;
        }
    }

    /// The pool's clock at which a group is expected to be used again.
    static std::int64_t next_use(const TierGroup& g, std::int64_t now) {
        if (g.interval == TierOptions::unlimited) return TierOptions::unlimited;  // used once, or never
        return g.last + g.interval > now ? g.last + g.interval : now + (now - g.last);
    }
    void reserve_tokens(const TierGroup& g) {
        State& pool = of(g.role.pool);
        while (g.bytes > pool.budget - pool.counts.resident) {
            TierGroup* farthest = nullptr;
            for (TierGroup* other : pool.groups) {
                if (!other->resident || other->holders > 0 || !other->file) continue;
                const auto rank = [&](const TierGroup& x) { return std::pair(next_use(x, pool.clock), -x.uses); };
                if (!farthest || rank(*other) > rank(*farthest)) farthest = other;
            }
            if (!farthest)
                throw OutOfMemory(std::string("memory tiers: the pool ") +
                                  pool_names[static_cast<std::size_t>(g.role.pool)] + " may have " +
                                  std::to_string(pool.budget) + " bytes in memory, " +
                                  std::to_string(pool.counts.resident) + " are in use and " + std::to_string(g.bytes) +
                                  " more are needed at the same time; give it more in TierOptions");
            leave(*farthest);
        }
    }
    /// f(offset, bytes) for the longest runs of units that hold something, in pieces of at most 4 MiB.
    template <class F>
    static void for_each_run(const TierGroup& g, F&& f) {
        constexpr std::int64_t most = 64 * TierGroup::unit;
        std::size_t index = 0;
        for (const auto& r : g.ranges) {
            std::int64_t begin = 0, end = 0;
            for (std::int64_t at = 0; at < r.bytes; at += TierGroup::unit, ++index) {
                if (!g.filled[index]) continue;
                if (end != at || end - begin >= most) {
                    if (begin < end) f(r.begin + begin, end - begin);
                    begin = at;
                }
                end = std::min(r.bytes, at + TierGroup::unit);
            }
            if (begin < end) f(r.begin + begin, end - begin);
        }
    }
    static bool all_zeros(const std::byte* data, std::int64_t bytes) {
        for (std::int64_t i = 0; i < bytes; i += 64) {
            std::uint64_t any = 0, words[8];
            std::memcpy(words, data + i, sizeof words);
            for (const std::uint64_t w : words) any |= w;
            if (any) return false;
        }
        return true;
    }

    void leave(TierGroup& g) {
        TierStatistics& counts = of(g.role.pool).counts;
        if (g.role.content == Content::kept && !g.written) {
            std::size_t index = 0;
            for (const auto& r : g.ranges)
                for (std::int64_t at = 0; at < r.bytes; at += TierGroup::unit)
                    g.filled[index++] = !all_zeros(g.mapping + r.begin + at, std::min(TierGroup::unit, r.bytes - at));
            for_each_run(g, [&](std::int64_t at, std::int64_t bytes) {
                g.file->write(at, {g.mapping + at, static_cast<std::size_t>(bytes)});
                counts.written += bytes;
            });
            g.written = true;
        }
        drop(g);
        g.resident = false;
        counts.resident -= g.bytes;
        ++counts.to_disk;
        ++g.to_disk;
    }
    void fetch(TierGroup& g) {
        TierStatistics& counts = of(g.role.pool).counts;
        try {
            for_each_run(g, [&](std::int64_t at, std::int64_t bytes) {
                g.file->read(at, {g.mapping + at, static_cast<std::size_t>(bytes)});
                counts.read += bytes;
            });
        } catch (...) {
            drop(g);
            throw;
        }
        enter(g);
        ++counts.fetched;
        ++g.fetched;
    }
    /// Gives the memory back to the system; it then reads as zeros.
    static void drop(const TierGroup& g) {
        for (const auto& r : g.ranges) ::madvise(g.mapping + r.begin, static_cast<std::size_t>(r.bytes), MADV_DONTNEED);
    }

    std::string folder_;
    mutable std::mutex mutex_;
    std::array<State, pool_count> pools_;
};

}  // namespace qwen3vl::memory
