#include <algorithm>
#include <cstring>
#include <map>
#include <qwen3vl/memory/tiered.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <thread>
#include "failing_disk.hpp"

using namespace qwen3vl;
using namespace qwen3vl_test;
using memory::Content;
using memory::Pool;
using memory::Role;
using memory::Tiered;
using memory::Tiers;

namespace tiers_test {

constexpr std::int64_t group_bytes = std::int64_t{1} << 20;

Role layer(int group, Content content = Content::kept) { return {Pool::attention, content, group}; }

/// `count` groups of group_bytes in the pool for attention, which has room for `in_memory` of them.
struct Groups {
    Groups(int count, std::int64_t in_memory)
        : tiers({.folder = folder.path(), .attention = in_memory * group_bytes}), memory(count * group_bytes, &tiers) {
        for (int i = 0; i < count; ++i) blocks.push_back(memory.take(group_bytes, layer(i)));
        memory.settle();
    }
    /// Uses a group: checks what it holds and writes something new to it.
    void use(int i) {
        const auto held = memory.hold(layer(i), true);
        check(i);
        fill(i, ++generation);
    }
    void check(int i) {
        const auto g = contents.find(i);
        std::vector<std::byte> expected(static_cast<std::size_t>(group_bytes));
        if (g != contents.end()) expected = values(i, g->second);
        REQUIRE(std::memcmp(blocks[static_cast<std::size_t>(i)], expected.data(), expected.size()) == 0);
    }
    void fill(int i, std::uint64_t seed) {
        contents[i] = seed;
        std::memcpy(blocks[static_cast<std::size_t>(i)], values(i, seed).data(), static_cast<std::size_t>(group_bytes));
    }
    /// Zeros in some units, so that runs begin and end at all places.
    static std::vector<std::byte> values(int i, std::uint64_t seed) {
        std::vector<std::byte> out(static_cast<std::size_t>(group_bytes));
        testing::Rng rng(seed * 100 + static_cast<std::uint64_t>(i));
        for (std::int64_t unit = 0; unit < 16; ++unit) {
            const bool zeros = rng.bits() % 3 == 0;
            for (std::int64_t k = 0; !zeros && k < 65536; k += 8) {
                const std::uint64_t word = rng.bits();
                std::memcpy(out.data() + unit * 65536 + k, &word, 8);
            }
        }
        return out;
    }
    const memory::TierGroup& group(int i) const { return memory.groups()[static_cast<std::size_t>(i)]; }
    memory::TierStatistics statistics() const { return tiers.statistics(Pool::attention); }

    TemporaryFolder folder;
    Tiers tiers;
    Tiered memory;
    std::vector<std::byte*> blocks;
    std::map<int, std::uint64_t> contents;
    std::uint64_t generation = 0;
};

/// Pages of a block that are in memory.
std::int64_t resident_pages(const std::byte* p, std::int64_t bytes) {
    std::vector<unsigned char> pages(static_cast<std::size_t>(bytes / 4096));
    REQUIRE(::mincore(const_cast<std::byte*>(p), static_cast<std::size_t>(bytes), pages.data()) == 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char c) { return c & 1; });
}

TEST_CASE("groups come back from disk as they were, and memory never holds more than the budget") {
    Groups g(7, 3);
    testing::Rng rng(5);
    for (int step = 0; step < 200; ++step) {
        g.use(static_cast<int>(rng.bits() % 7));
        std::int64_t pages = 0;
        for (const auto* block : g.blocks) pages += resident_pages(block, group_bytes);
        REQUIRE(pages * 4096 <= 3 * group_bytes);
    }
    const auto s = g.statistics();
    CHECK(s.groups == 7);
    CHECK(s.bytes == 7 * group_bytes);
    CHECK(s.resident == 3 * group_bytes);
    CHECK(s.peak == 3 * group_bytes);
    CHECK(s.uses == 200);
    CHECK(s.to_disk == s.fetched + 4);
    CHECK(g.tiers.statistics(Pool::mlp).bytes == 0);
}

TEST_CASE("a group's blocks need not lie side by side") {
    TemporaryFolder folder;
    Tiers tiers({.folder = folder.path(), .attention = 5 * 4096, .mlp = 4096});
    Tiered memory(8 * 4096, &tiers);
    std::vector<std::byte*> blocks;
    for (int i = 0; i < 3; ++i) {
        blocks.push_back(memory.take(3000, layer(0)));
        blocks.push_back(memory.take(4096, layer(1)));
    }
    std::byte* mlp = memory.take(1, {Pool::mlp, Content::kept, 0});
    memory.settle();
    CHECK(memory.groups().size() == 3);
    for (int round = 1; round < 4; ++round)
        for (int of = 0; of < 2; ++of) {
            const auto held = memory.hold(layer(of), true);
            for (std::size_t b = 0; b < 3; ++b) {
                std::byte* p = blocks[2 * b + static_cast<std::size_t>(of)];
                CHECK(p[2999] == static_cast<std::byte>(round > 1 ? 16 * (round - 1) + static_cast<int>(b) : 0));
                p[2999] = static_cast<std::byte>(16 * round + static_cast<int>(b));
            }
        }
    CHECK(tiers.statistics(Pool::attention).fetched >= 4);
    const auto held = memory.hold({Pool::mlp, Content::kept, 0}, true);
    *mlp = std::byte{1};
    CHECK(tiers.statistics(Pool::mlp).to_disk == 0);
}

TEST_CASE("scratch leaves without being written, pinned blocks never leave") {
    TemporaryFolder folder;
    Tiers tiers({.folder = folder.path(), .attention = 3 * group_bytes});
    Tiered memory(3 * group_bytes, &tiers), other(group_bytes, &tiers);
    std::byte *scratch = memory.take(group_bytes, layer(0, Content::scratch)),
              *pinned = memory.take(group_bytes, layer(1, Content::pinned)), *kept = memory.take(group_bytes, layer(2));
    for (auto* p : {scratch, pinned, kept}) std::memset(p, 7, static_cast<std::size_t>(group_bytes));
    memory.settle();
    other.take(group_bytes, layer(0));
    {
        const auto held = memory.hold(layer(2), false);
        other.settle();  // only the scratch can go
    }
    CHECK(tiers.statistics(Pool::attention).written == 0);
    CHECK(pinned[5] == std::byte{7});
    CHECK(kept[5] == std::byte{7});
    const auto held = memory.hold(layer(0, Content::scratch), true);
    CHECK(scratch[5] == std::byte{0});
    CHECK(tiers.statistics(Pool::attention).read == 0);
}

TEST_CASE("zeros and what did not change are not written") {
    Groups g(2, 1);
    g.use(0);
    const auto nonzero = [&](int i) {
        const auto v = Groups::values(i, g.contents[i]);
        std::int64_t n = 0;
        for (std::size_t unit = 0; unit < 16; ++unit)
            n += std::any_of(v.begin() + static_cast<std::ptrdiff_t>(unit) * 65536,
                             v.begin() + static_cast<std::ptrdiff_t>(unit + 1) * 65536,
                             [](std::byte b) { return b != std::byte{0}; });
        return n * 65536;
    };
    { const auto held = g.memory.hold(layer(1), false); }  // zeros; the first goes to disk
    CHECK(g.statistics().written == nonzero(0));
    { const auto held = g.memory.hold(layer(0), false); }
    CHECK(g.statistics().read == nonzero(0));
    { const auto held = g.memory.hold(layer(1), false); }
    CHECK(g.statistics().written == nonzero(0));
    CHECK(g.statistics().to_disk == 5);  // twice each, and the first when the second was added
    { const auto held = g.memory.hold(layer(0), true); }
    { const auto held = g.memory.hold(layer(1), false); }
    CHECK(g.statistics().written == 2 * nonzero(0));
}

TEST_CASE("the tier follows the pattern of use") {
    SECTION("what was used once leaves before what is used again and again") {
        Groups g(4, 3);
        for (int i = 0; i < 5; ++i) {
            g.use(0);
            g.use(1);
        }
        const std::int64_t left = g.group(0).to_disk + g.group(1).to_disk;
        g.use(2);  // a picture's
        g.use(0);
        g.use(1);
        g.use(3);
        CHECK(!g.group(2).resident);
        CHECK(g.group(0).to_disk + g.group(1).to_disk == left);
    }
    SECTION("what pauses leaves before what goes on") {
        Groups g(4, 3);
        for (int i = 0; i < 5; ++i)
            for (int of = 0; of < 3; ++of) g.use(of);
        const std::int64_t left = g.group(0).to_disk + g.group(2).to_disk;
        for (int i = 0; i < 20; ++i) {
            g.use(0);
            g.use(2);
        }
        g.use(3);
        CHECK(!g.group(1).resident);
        CHECK(g.group(0).to_disk + g.group(2).to_disk == left);
        g.use(1);  // goes on: the newcomer was used once
        CHECK(!g.group(3).resident);
    }
    SECTION("in a cycle, only as much moves as has to") {
        constexpr int groups = 8, room = 6, cycles = 30;
        Groups g(groups, room);
        for (int i = 0; i < 3 * groups; ++i) g.use(i % groups);
        const auto before = g.statistics();
        for (int i = 0; i < cycles * groups; ++i) g.use(i % groups);
        const double fetched = static_cast<double>(g.statistics().fetched - before.fetched) / (cycles * groups);
        // Belady's optimum for a cycle: of N groups, N - room for every N - 1 uses; the latest used first would fetch
        // all
        CHECK(fetched <= 1.05 * (groups - room) / (groups - 1));
    }
}

TEST_CASE("more than a pool can hold at once is an error that says what to change") {
    Groups g(3, 2);
    {
        const auto first = g.memory.hold(layer(0), true), second = g.memory.hold(layer(1), true);
        CHECK_THAT(message_of<OutOfMemory>([&] { g.memory.hold(layer(2), true); }),
                   contains("the pool attention may have 2097152 bytes") && contains("1048576 more are needed") &&
                       contains("TierOptions"));
        CHECK_THROWS_AS(g.memory.hold_all(true), OutOfMemory);
    }
    g.use(2);  // those before were released, those of the failed call too
    g.use(0);
    g.use(1);
    Tiered large(3 * group_bytes, &g.tiers);
    large.take(3 * group_bytes, layer(0));
    CHECK_THROWS_AS(large.settle(), OutOfMemory);
    CHECK(g.statistics().groups == 3);
    CHECK_THAT(message_of<ConfigError>([] { Tiers({.mlp = 1}); }),
               contains("TierOptions: field 'folder'") && contains("mlp"));
    CHECK_THAT(message_of<ConfigError>([] { Tiers({.folder = "/tmp", .vision = -1}); }),
               contains("TierOptions: field 'vision'") && contains("found -1"));
}

TEST_CASE("a disk that fails loses nothing") {
    Groups g(3, 2);
    g.use(0);
    g.use(1);
    {
        const FileLimit no_write(0);
        CHECK_THAT(message_of<FileError>([&] { g.memory.hold(layer(2), true); }),
                   contains(g.folder.path()) && contains("cannot write"));
        g.use(0);
        g.use(1);
    }
    g.use(2);
    {
        const int gone = g.group(0).resident ? 1 : 0;
        const BrokenDisk disk(descriptor_of(g.folder), "/dev/null", O_RDWR);
        CHECK_THAT(message_of<FileError>([&] { g.memory.hold(layer(gone), true); }),
                   contains("found 0 bytes: the file was cut"));
    }
    for (int i = 0; i < 3; ++i) g.use(i);
    Tiers nowhere({.folder = g.folder.file("none"), .attention = group_bytes});
    Tiered memory(group_bytes, &nowhere);
    memory.take(1, layer(0));
    CHECK_THAT(message_of<FileError>([&] { memory.settle(); }), contains("No such file"));
}

TEST_CASE("what goes makes room, and without tiers or limits nothing moves") {
    TemporaryFolder folder;
    Tiers tiers({.folder = folder.path(), .attention = group_bytes});
    for (int i = 0; i < 3; ++i) {
        Tiered memory(group_bytes, &tiers);
        memory.take(group_bytes, layer(0));
        memory.settle();
        CHECK(tiers.statistics(Pool::attention).groups == 1);
    }
    CHECK(tiers.statistics(Pool::attention).to_disk == 0);
    CHECK(tiers.statistics(Pool::attention).resident == 0);
    Tiered alone(group_bytes);
    std::byte* p = alone.take(group_bytes, layer(0));
    alone.settle();
    *p = std::byte{3};
    { const auto held = alone.hold_all(true); }
    CHECK(*p == std::byte{3});
    CHECK(alone.groups().empty());
    Tiers endless({});
    Tiered counted(group_bytes, &endless);
    counted.take(group_bytes, layer(0));
    counted.settle();
    { const auto held = counted.hold(layer(0), true); }
    CHECK(endless.statistics(Pool::attention).uses == 1);
}

TEST_CASE("threads that use groups of their own and shared ones find them as they left them") {
    constexpr int threads = 4;
    Groups g(threads + 1, threads);  // each holds one at a time
    std::vector<std::thread> team;
    std::vector<int> wrong(threads);
    for (int t = 0; t < threads; ++t)
        team.emplace_back([&, t] {
            const auto own = static_cast<std::size_t>(t);
            for (std::int32_t i = 0; i < 300; ++i) {
                {
                    const auto held = g.memory.hold(layer(t), true);
                    std::int32_t count = 0;
                    std::memcpy(&count, g.blocks[own] + 70000, sizeof count);
                    wrong[own] += count != i;
                    std::memcpy(g.blocks[own] + 70000, &++count, sizeof count);
                }
                const auto shared = g.memory.hold(layer(threads), false);
                wrong[own] += g.blocks[threads][3] != std::byte{0};
            }
        });
    for (auto& thread : team) thread.join();
    CHECK(std::all_of(wrong.begin(), wrong.end(), [](int n) { return n == 0; }));
    CHECK(g.statistics().fetched > 0);
}

}  // namespace tiers_test
