#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <mutex>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/kv_cache/tile.hpp>
#include <span>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// A pool's state and history, in pages.
struct PageStatistics {
    std::int64_t pages = 0;    ///< the whole pool
    std::int64_t in_use = 0;   ///< that sequences refer to
    std::int64_t shared = 0;   ///< pages in use that several sequences refer to
    std::int64_t cached = 0;   ///< kept for a prompt that begins with the same, and given up where there is no free one
    std::int64_t free = 0;     ///< pages without content
    std::int64_t reused = 0;   ///< taken over in place of computing them
    std::int64_t copied = 0;   ///< because one of several sequences wrote to them
    std::int64_t evicted = 0;  ///< cached ones given up
};

/// Content that identifies a page: the page before it, its tokens, and the pictures among them.
struct PageContent {
    std::uint64_t before = 0;                 ///< PageStore::number of the page before; 0 for the first
    std::array<int, tile_keys> tokens{};      ///< ids
    std::array<std::uint64_t, 2> pictures{};  ///< hash of what the pictures' features are and where they stand
    bool operator==(const PageContent&) const = default;
};

/// Pages of one size that sequences share: counts the references to each, and finds published ones by content. The
/// caller owns the memory.
///
/// A full page may be published: it is then found by its content and no longer changed. Contents are compared as a
/// whole, and the page before stands for all the tokens up to it, so that no two prefixes are confused. Pictures are
/// compared by 128-bit hashes. Published pages that nobody refers to stay until their room is needed. The least
/// recently used one goes first, which is always the end of a prefix.
///
/// Thread-safe. Allocates when it is made, and never later.
class PageStore {
  public:
    /// `memory`: page_bytes * pages bytes.
    PageStore(std::byte* memory, std::int64_t page_bytes, std::int64_t pages)
        : memory_(memory),
          page_bytes_(page_bytes),
          records_(static_cast<std::size_t>(pages)),
          buckets_(std::bit_ceil(records_.size() + 1), none) {
        for (auto i = static_cast<Index>(pages); i-- > 0;) push_free(i);
    }
    PageStore(const PageStore&) = delete;
    PageStore& operator=(const PageStore&) = delete;

    /// Bytes of a page.
    std::int64_t page_bytes() const { return page_bytes_; }
    /// Pages of the store, whatever their state.
    std::int64_t pages() const { return static_cast<std::int64_t>(records_.size()); }

    /// Fills `out` with pages of any content that no other sequence refers to. Returns false, and changes nothing,
    /// where there are too few.
    bool take(std::span<std::byte*> out) {
        const std::lock_guard lock(mutex_);
        return take_pages(out);
    }
    /// Gives `held` pages at `pages` back and puts `wanted` ones in their place. False, and nothing happens, where
    /// there are too few.
    bool renew(std::byte** pages, std::int64_t held, std::int64_t wanted) {
        const std::lock_guard lock(mutex_);
        const auto alone = std::count_if(pages, pages + held, [&](const std::byte* p) { return at(p).refs == 1; });
        if (wanted > counts_.free + counts_.cached + alone) return false;
        release_pages({pages, static_cast<std::size_t>(held)});
        return take_pages({pages, static_cast<std::size_t>(wanted)});
    }
    /// Adds a reference to each of `pages`, for one more sequence.
    void share(std::span<std::byte* const> pages) {
        const std::lock_guard lock(mutex_);
        for (const auto* p : pages) refer(at(p));
    }
    /// Drops a sequence's reference to each of `pages`, which are consecutive.
    void release(std::span<std::byte* const> pages) {
        const std::lock_guard lock(mutex_);
        release_pages(pages);
    }

    /// True if a page may be written to: one sequence refers to it, and it is not published.
    bool writable(const std::byte* page) {
        const std::lock_guard lock(mutex_);
        return at(page).refs == 1 && at(page).number == 0;
    }
    /// Makes a published page one that may be written to, if one sequence alone refers to it.
    bool withdraw(const std::byte* page) {
        const std::lock_guard lock(mutex_);
        Record& r = at(page);
        if (r.refs != 1) return false;
        if (r.number != 0) forget(index_of(page));
        return true;
    }
    /// Copies `from` to `to`, which may be written to, and drops the sequence's reference to `from`.
    void copy(const std::byte* from, std::byte* to) {
        std::copy_n(from, page_bytes_, to);
        const std::lock_guard lock(mutex_);
        release_page(index_of(from));
        ++counts_.copied;
    }

    /// The page of this content, to which one more sequence then refers; null where there is none.
    std::byte* find(const PageContent& content) {
        const std::lock_guard lock(mutex_);
        const Index i = lookup(content);
        if (i == none) return nullptr;
        refer(record(i));
        ++counts_.reused;
        return memory_ + i * page_bytes_;
    }
    /// Publishes a full page that may be written to: others find it from now on. Returns the page that the sequence now
    /// refers to in its place: another one where the content was published before.
    std::byte* publish(std::byte* page, const PageContent& content) {
        const std::lock_guard lock(mutex_);
        if (const Index known = lookup(content); known != none) {
            refer(record(known));
            release_page(index_of(page));
            return memory_ + known * page_bytes_;
        }
        Record& r = at(page);
        r.number = ++numbers_;
        r.content = content;
        Index& first = bucket(content);
        r.next = first;
        first = index_of(page);
        return page;
    }
    /// Number of a published page that the caller's sequence refers to: above 0, and never that of another page.
    std::uint64_t number(const std::byte* page) const { return record(index_of(page)).number; }

    /// Counts as of now.
    PageStatistics statistics() const {
        const std::lock_guard lock(mutex_);
        PageStatistics s = counts_;
        s.pages = pages();
        s.in_use = s.pages - s.free - s.cached;
        s.shared = std::count_if(records_.begin(), records_.end(), [](const Record& r) { return r.refs > 1; });
        return s;
    }

  private:
    using Index = std::int32_t;
    static constexpr Index none = -1;
    struct Record {
        std::int32_t refs = 0;
        Index next = none;                 ///< in the list of free ones, or of a bucket
        Index older = none, newer = none;  ///< among the cached ones
        std::uint64_t number = 0;          ///< 0: not published
        PageContent content;
    };

    Record& record(Index i) { return records_[static_cast<std::size_t>(i)]; }
    const Record& record(Index i) const { return records_[static_cast<std::size_t>(i)]; }
    Index index_of(const std::byte* page) const { return static_cast<Index>((page - memory_) / page_bytes_); }
    Record& at(const std::byte* page) { return record(index_of(page)); }
    Index& bucket(const PageContent& c) {
        const std::uint64_t seed = c.before ^ std::rotl(c.pictures[0], 21) ^ std::rotl(c.pictures[1], 42);
        return buckets_[checksum(reinterpret_cast<const std::byte*>(c.tokens.data()), sizeof c.tokens, seed) &
                        (buckets_.size() - 1)];
    }
    Index lookup(const PageContent& content) {
        Index i = bucket(content);
        while (i != none && !(record(i).content == content)) i = record(i).next;
        return i;
    }

    void push_free(Index i) {
        record(i).next = free_;
        free_ = i;
        ++counts_.free;
    }
    bool take_pages(std::span<std::byte*> out) {
        if (static_cast<std::int64_t>(out.size()) > counts_.free + counts_.cached) return false;
        for (auto& page : out) {
            if (free_ == none) {
                const Index i = oldest_;
                unlink(i);
                forget(i);
                push_free(i);
                ++counts_.evicted;
            }
            const Index i = free_;
            free_ = record(i).next;
            --counts_.free;
            record(i).refs = 1;
            page = memory_ + i * page_bytes_;
        }
        return true;
    }
    void refer(Record& r) {
        if (r.refs++ == 0) unlink(static_cast<Index>(&r - records_.data()));
    }
    /// Releases from last to first: of cached pages, the end of a prefix is then the older.
    void release_pages(std::span<std::byte* const> pages) {
        for (auto p = pages.rbegin(); p != pages.rend(); ++p) release_page(index_of(*p));
    }
    void release_page(Index i) {
        Record& r = record(i);
        if (--r.refs > 0) return;
        if (r.number == 0) return push_free(i);
        r.older = newest_;
        r.newer = none;
        (newest_ == none ? oldest_ : record(newest_).newer) = i;
        newest_ = i;
        ++counts_.cached;
    }
    /// A cached page leaves the list of those.
    void unlink(Index i) {
        const Record& r = record(i);
        (r.older == none ? oldest_ : record(r.older).newer) = r.newer;
        (r.newer == none ? newest_ : record(r.newer).older) = r.older;
        --counts_.cached;
    }
    /// A published page is not found any more.
    void forget(Index i) {
        Index* link = &bucket(record(i).content);
        while (*link != i) link = &record(*link).next;
        *link = record(i).next;
        record(i).number = 0;
    }

    std::byte* memory_;
    std::int64_t page_bytes_;
    std::vector<Record> records_;
    std::vector<Index> buckets_;
    Index free_ = none, oldest_ = none, newest_ = none;
    std::uint64_t numbers_ = 0;
    PageStatistics counts_;
    mutable std::mutex mutex_;
};

}  // namespace qwen3vl::kv_cache
