#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <qwen3vl/memory/buddy_pool.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <set>
#include "catch.hpp"

using namespace qwen3vl;
using memory::BuddyPool;

namespace buddy_pool_test {

/// The definition, slowly: a set of free blocks (first unit, units) for each size.
class ReferencePool {
  public:
    explicit ReferencePool(std::int64_t units) {
        for (std::int64_t first = 0, size = 1; size <= units; size *= 2)
            if (units & size) {
                free_.insert({first, size});
                first += size;
            }
        std::int64_t end = 1;
        while (end < units) end *= 2;
        shift_ = end - units;
    }
    static std::int64_t units_for(std::int64_t bytes) {
        std::int64_t n = 1;
        while (64 * n < bytes) n *= 2;
        return n;
    }
    bool has(std::int64_t units) const {
        return std::any_of(free_.begin(), free_.end(), [&](const auto& b) { return b.second >= units; });
    }
    /// The block [first, first + units) was handed out: it has to be free, and cut from a smallest block that is large
    /// enough.
    void take(std::int64_t first, std::int64_t units) {
        auto from = std::find_if(free_.begin(), free_.end(),
                                 [&](const auto& b) { return b.first <= first && first < b.first + b.second; });
        REQUIRE(from != free_.end());
        auto [at, size] = *from;
        REQUIRE(size >= units);
        for (const auto& b : free_) REQUIRE((b.second < units || b.second >= size));
        free_.erase(from);
        while (size > units) {
            size /= 2;
            const bool right = first >= at + size;
            free_.insert({right ? at : at + size, size});
            if (right) at += size;
        }
        REQUIRE(at == first);
    }
    void give(std::int64_t first, std::int64_t units) {
        for (;; units *= 2) {
            const auto buddy = free_.find({((first + shift_) ^ units) - shift_, units});
            if (buddy == free_.end()) break;
            first = std::min(first, buddy->first);
            free_.erase(buddy);
        }
        free_.insert({first, units});
    }
    std::int64_t largest() const {
        std::int64_t n = 0;
        for (const auto& b : free_) n = std::max(n, b.second);
        return n;
    }

  private:
    std::set<std::pair<std::int64_t, std::int64_t>> free_;
    std::int64_t shift_;  ///< buddies are told by addresses that end with a power of two
};

/// A block that a test holds, filled with bytes of its own.
struct Held {
    std::byte* at = nullptr;
    std::optional<BuddyPool::Handle> handle;
    std::int64_t bytes = 0;
    std::byte fill{};
    void write() const { std::fill_n(at, bytes, fill); }
    bool intact() const {
        return std::all_of(at, at + bytes, [&](std::byte b) { return b == fill; });
    }
};

void give_back(BuddyPool& pool, const Held& b) {
    if (b.handle)
        pool.free(*b.handle);
    else
        pool.free(b.at);
}

/// Sizes of every magnitude alike, to `most`.
std::int64_t random_bytes(testing::Rng& rng, std::int64_t most) {
    const std::int64_t magnitude = std::int64_t{1}
                                   << rng.below(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(most))));
    return std::min(most, std::int64_t{rng.below(static_cast<int>(2 * magnitude))});
}

/// Takes a random one out.
Held pick(std::vector<Held>& held, testing::Rng& rng) {
    std::swap(held[static_cast<std::size_t>(rng.below(static_cast<int>(held.size())))], held.back());
    const Held b = held.back();
    held.pop_back();
    return b;
}

std::int64_t largest_power(std::int64_t n) {
    return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n)));
}

TEST_CASE("blocks of random sizes are what the definition allows, keep their contents and join to the whole") {
    for (const std::int64_t units : {1, 2, 3, 64, 100, 1023, 4096, 5000}) {
        CAPTURE(units);
        testing::Rng rng(static_cast<std::uint64_t>(units));
        BuddyPool pool(64 * units);
        ReferencePool reference(units);
        CHECK(pool.statistics().largest_free == 64 * reference.largest());
        const std::byte* begin = pool.allocate(1);  // the smallest block is cut from the first
        pool.free(begin);
        const auto unit_of = [&](const std::byte* p) { return (p - begin) / 64; };
        std::vector<Held> held;
        std::int64_t in_use = 0, asked = 0, peak = 64, allocations = 1, frees = 1;
        for (int step = 0; step < 3000; ++step) {
            const bool filling = step % 600 < 400;
            if (rng.below(10) < (filling ? 7 : 3)) {
                const std::int64_t bytes = random_bytes(rng, 64 * units), n = ReferencePool::units_for(bytes);
                if (!reference.has(n)) {
                    REQUIRE_THROWS_AS(pool.allocate(bytes), OutOfMemory);
                    continue;
                }
                Held b{pool.allocate(bytes), {}, bytes, static_cast<std::byte>(rng.below(256))};
                REQUIRE(reinterpret_cast<std::uintptr_t>(b.at) % 64 == 0);
                REQUIRE(BuddyPool::footprint(bytes) == 64 * n);
                reference.take(unit_of(b.at), n);
                b.write();
                held.push_back(b);
                ++allocations;
                asked += bytes;
                in_use += 64 * n;
                peak = std::max(peak, in_use);
            } else if (!held.empty()) {
                const Held b = pick(held, rng);
                REQUIRE(b.intact());
                pool.free(b.at);
                reference.give(unit_of(b.at), ReferencePool::units_for(b.bytes));
                ++frees;
                asked -= b.bytes;
                in_use -= BuddyPool::footprint(b.bytes);
            }
            const auto s = pool.statistics();
            REQUIRE(s.largest_free == 64 * reference.largest());
            REQUIRE(s.in_use == in_use);
            REQUIRE(s.internal_fragmentation() == in_use - asked);
            REQUIRE(s.free() == 64 * units - in_use);
        }
        for (const Held& b : held) {
            CHECK(b.intact());
            pool.free(b.at);
            ++frees;
        }
        const auto s = pool.statistics();
        CHECK(s.largest_free == 64 * largest_power(units));
        CHECK(s.splits == s.joins);
        CHECK(s.allocations == allocations);
        CHECK(s.frees == frees);
        CHECK(s.peak == peak);
        CHECK(s.in_use == 0);
        CHECK(s.asked == 0);
    }
}

TEST_CASE("allocations alone fill a pool of any size to its end, in any order") {
    testing::Rng rng(1);
    for (int trial = 0; trial < 200; ++trial) {
        std::vector<std::int64_t> sizes(static_cast<std::size_t>(1 + rng.below(60)));
        std::int64_t planned = 0;
        for (auto& n : sizes) planned += BuddyPool::footprint(n = random_bytes(rng, 1 << 14));
        BuddyPool pool(planned);
        for (const auto n : sizes) REQUIRE_NOTHROW(pool.take(n));
        CHECK(pool.statistics().free() == 0);
        CHECK(pool.statistics().external_fragmentation() == 0.0);
        CHECK_THROWS_AS(pool.take(0), OutOfMemory);
    }
}

TEST_CASE("blocks are halved and joined again") {
    BuddyPool pool(1024);
    std::byte* p = pool.allocate(64);
    auto s = pool.statistics();
    CHECK(s.splits == 4);
    CHECK(s.largest_free == 512);
    CHECK(s.external_fragmentation() == Approx(1.0 - 512.0 / 960.0));
    std::byte* q = pool.allocate(65);
    CHECK(pool.statistics().internal_fragmentation() == 63);
    pool.free(p);
    CHECK(pool.statistics().largest_free == 512);
    CHECK(pool.statistics().joins == 1);
    pool.free(q);
    s = pool.statistics();
    CHECK(s.joins == 4);
    CHECK(s.largest_free == 1024);
    CHECK(s.external_fragmentation() == 0.0);
    CHECK(s.peak == 64 + 128);
    CHECK(pool.allocate(1024) == p);
}

TEST_CASE("a block of no bytes is a block of its own") {
    BuddyPool pool(128);
    std::byte *p = pool.allocate(0), *q = pool.allocate(0);
    CHECK(p != q);
    CHECK_THROWS_AS(pool.allocate(0), OutOfMemory);
    CHECK(pool.statistics().internal_fragmentation() == 128);
    pool.free(p);
    pool.free(q);
}

TEST_CASE("what a pool cannot give is refused with what it could") {
    BuddyPool pool(1 << 12);
    std::byte* first = pool.allocate(1);
    CHECK_THROWS_WITH(
        pool.allocate(4096),
        Catch::Contains("pool of 4096 bytes has 4032 free, the largest block of them 2048; 4096 were asked for"));
    for (const std::int64_t bytes :
         {std::int64_t{4097}, std::int64_t{1} << 40, INT64_MAX, std::int64_t{-1}, INT64_MIN}) {
        CAPTURE(bytes);
        CHECK_THROWS_AS(pool.allocate(bytes), OutOfMemory);
        CHECK_THROWS_AS(pool.take(bytes), OutOfMemory);
        CHECK_THROWS_AS(pool.allocate_movable(bytes), OutOfMemory);
    }
    CHECK(pool.statistics().in_use == 64);
    pool.free(first);
    CHECK_NOTHROW(pool.allocate(4096));
    CHECK_THROWS_WITH(BuddyPool(-1), Catch::Contains("-1 bytes"));
    CHECK_THROWS_WITH(BuddyPool((std::int64_t{128} << 30) + 1), Catch::Contains("largest has 137438953472"));
}

TEST_CASE("pointers that are no block in use are refused, and nothing changes") {
    BuddyPool pool(1 << 12), other(1 << 12);
    std::byte *p = pool.allocate(200), *q = pool.allocate(64), *foreign = other.allocate(64);
    const auto handle = pool.allocate_movable(64);
    std::byte* handled = pool.address(handle);
    int local = 0;
    const auto refused = [&](const void* block, const char* why) {
        const auto before = pool.statistics();
        CHECK_THROWS_AS(pool.free(block), InvalidBlock);
        CHECK_THROWS_WITH(pool.free(block), Catch::Contains(why));
        CHECK(pool.statistics().in_use == before.in_use);
        CHECK(pool.statistics().frees == before.frees);
    };
    refused(nullptr, "outside the pool");
    refused(&local, "outside the pool");
    refused(foreign, "outside the pool");
    refused(p + 1, "not the start");
    refused(p + 64, "not the start");
    refused(p + 128, "not the start");
    refused(handled, "free its handle");
    pool.free(q);
    refused(q, "freed before");
    pool.free(p);
    refused(p, "freed before");
    pool.free(handle);
    refused(handled, "freed before");
    CHECK_THROWS_AS(pool.free(handle), InvalidBlock);
    CHECK_THROWS_AS(pool.address(handle), InvalidBlock);
    CHECK_THROWS_AS(pool.address(BuddyPool::Handle()), InvalidBlock);
    const auto next = pool.allocate_movable(64);  // in the same slot
    CHECK_THROWS_AS(pool.free(handle), InvalidBlock);
    pool.free(next);
    CHECK(pool.statistics().largest_free == 1 << 12);
    CHECK_THROWS_AS(BuddyPool().free(p), InvalidBlock);
}

TEST_CASE("writing to blocks that were freed does not reach what the pool knows") {
    BuddyPool pool(1 << 16);
    std::vector<std::byte*> blocks;
    for (int i = 0; i < 64; ++i) blocks.push_back(pool.allocate(1024));
    for (std::byte* p : blocks) {
        pool.free(p);
        std::memset(p, 0xff, 1024);
    }
    CHECK(pool.statistics().largest_free == 1 << 16);
    for (int i = 0; i < 64; ++i) pool.allocate(1024);
    CHECK(pool.statistics().free() == 0);
}

TEST_CASE("taken blocks are zeroed where their bytes were in use before") {
    BuddyPool pool(1 << 12);
    const auto dirty = [&](std::byte* p, std::int64_t n) {
        std::fill_n(p, n, std::byte{0xff});
        return p;
    };
    const auto zero = [](const std::byte* p, std::int64_t n) {
        return std::all_of(p, p + n, [](std::byte b) { return b == std::byte{0}; });
    };
    pool.free(dirty(pool.take(3000), 3000));
    std::byte* p = pool.take(4000);
    CHECK(zero(p, 4000));
    pool.free(p);
    // A moved block leaves its bytes behind.
    BuddyPool moving(1 << 12);
    const auto low = moving.allocate_movable(64), high = moving.allocate_movable(64);
    dirty(moving.address(high), 64);
    moving.free(low);
    CHECK(moving.defragment().blocks == 1);
    CHECK(zero(moving.take(64), 64));
}

TEST_CASE("defragmenting moves blocks with handles down, keeps their contents and leaves the rest where it is") {
    BuddyPool pool(16 * 64);
    std::vector<BuddyPool::Handle> handles;
    for (int i = 0; i < 16; ++i) {
        handles.push_back(pool.allocate_movable(50));
        std::fill_n(pool.address(handles.back()), 50, static_cast<std::byte>(i));
    }
    std::byte* begin = pool.address(handles[0]);
    for (std::size_t i = 0; i < 16; i += 2) pool.free(handles[i]);
    CHECK(pool.statistics().external_fragmentation() == 1.0 - 64.0 / 512.0);
    CHECK_THROWS_AS(pool.allocate(512), OutOfMemory);
    const auto moved = pool.defragment();
    CHECK(moved.blocks == 4);
    CHECK(moved.bytes == 4 * 50);
    for (std::size_t i = 1; i < 16; i += 2) {
        const std::byte* p = pool.address(handles[i]);
        CHECK(p < begin + 512);
        CHECK(std::all_of(p, p + 50, [&](std::byte b) { return b == static_cast<std::byte>(i); }));
    }
    CHECK(pool.statistics().external_fragmentation() == 0.0);
    CHECK(pool.allocate(512) == begin + 512);
    CHECK(pool.defragment().blocks == 0);
}

TEST_CASE("random pools are defragmented") {
    const auto pinned_percent = GENERATE(0, 10);
    for (const std::int64_t units : {7, 64, 1000, 4096, 6001}) {
        CAPTURE(units, pinned_percent);
        testing::Rng rng(static_cast<std::uint64_t>(units + pinned_percent));
        BuddyPool pool(64 * units);
        std::vector<Held> held;
        for (int round = 0; round < 20; ++round) {
            for (int step = 0; step < 300; ++step) {
                const std::int64_t bytes = random_bytes(rng, 16 * units);
                if (rng.below(2) == 0 && BuddyPool::footprint(bytes) <= pool.statistics().largest_free) {
                    Held b{nullptr, {}, bytes, static_cast<std::byte>(rng.below(256))};
                    if (rng.below(100) >= pinned_percent) b.handle = pool.allocate_movable(bytes);
                    b.at = b.handle ? pool.address(*b.handle) : pool.allocate(bytes);
                    b.write();
                    held.push_back(b);
                } else if (!held.empty()) {
                    give_back(pool, pick(held, rng));
                }
            }
            const auto before = pool.statistics();
            const auto moved = pool.defragment();
            const auto after = pool.statistics();
            CHECK(after.in_use == before.in_use);
            CHECK(after.asked == before.asked);
            CHECK(after.peak == before.peak);
            CHECK((moved.blocks > 0 || moved.bytes == 0));
            for (Held& b : held) {
                if (b.handle) b.at = pool.address(*b.handle);
                REQUIRE(b.intact());
            }
            if (pinned_percent == 0) {
                CHECK(after.external_fragmentation() < 0.5);
                CHECK((after.free() == 0 || after.largest_free == largest_power(after.free())));
            }
            CHECK(pool.defragment().blocks == 0);
        }
        for (const Held& b : held) give_back(pool, b);
        CHECK(pool.statistics().largest_free == 64 * largest_power(units));
    }
}

}  // namespace buddy_pool_test
