#include <algorithm>
#include <cstdint>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/memory/available.hpp>
#include <qwen3vl/memory/memory.hpp>
#include <qwen3vl/memory/plan.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "catch.hpp"

using namespace qwen3vl;
using memory::Arena;

TEMPLATE_LIST_TEST_CASE("a memory policy hands out zeroed, aligned, separate blocks as far as it was planned", "",
                        testing::tuple_t<memory::all>) {
    using Memory = typename TestType::type;
    static_assert(concepts::Memory<Memory>);
    const std::int64_t sizes[] = {1, 64, 65, 4000, 3, 100000, 0, 9000};
    std::int64_t planned = 0;
    for (const auto n : sizes) {
        CHECK(Memory::footprint(n) >= n);
        planned += Memory::footprint(n);
    }
    Memory memory;
    memory = Memory(planned);
    CHECK(memory.size() >= planned);
    std::vector<std::pair<std::byte*, std::byte*>> blocks;
    for (const auto n : sizes) {
        std::byte* p = memory.take(n);
        CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
        CHECK(std::all_of(p, p + n, [](std::byte b) { return b == std::byte{0}; }));
        std::fill_n(p, n, std::byte{1});
        blocks.emplace_back(p, p + n);
    }
    std::sort(blocks.begin(), blocks.end());
    for (std::size_t i = 1; i < blocks.size(); ++i) CHECK(blocks[i - 1].second <= blocks[i].first);
    CHECK_THROWS_AS(memory.take(memory.size()), OutOfMemory);
}

TEMPLATE_LIST_TEST_CASE("a memory policy moves with its blocks", "", testing::tuple_t<memory::all>) {
    using Memory = typename TestType::type;
    Memory a(1 << 20);
    std::byte* p = a.take(10);
    p[9] = std::byte{4};
    Memory b(std::move(a));
    CHECK(p[9] == std::byte{4});
    CHECK(b.size() == 1 << 20);
    Memory c;
    c = std::move(b);
    CHECK(p[9] == std::byte{4});
    CHECK_THROWS_AS(a.take(1), OutOfMemory);
    CHECK_THROWS_AS(b.take(1), OutOfMemory);
    c.take(100)[0] = std::byte{1};
    CHECK(p[9] == std::byte{4});
}

TEMPLATE_LIST_TEST_CASE("an empty memory policy has nothing, an absurd one is refused", "",
                        testing::tuple_t<memory::all>) {
    using Memory = typename TestType::type;
    CHECK_THROWS_AS(Memory(0).take(1), OutOfMemory);
    CHECK_THROWS_AS(Memory().take(1), OutOfMemory);
    CHECK_THROWS_AS(Memory(std::int64_t{1} << 60), OutOfMemory);
}

TEST_CASE("an arena says what its plan holds") {
    Arena arena(4096);
    arena.floats(10)[9] = 4.0f;
    CHECK_THROWS_WITH(arena.take(4096), Catch::Contains("plan holds 4096 bytes; 4160 were asked for"));
}

TEST_CASE("the system tells what is available") {
    const auto bytes = memory::available();
    REQUIRE(bytes);
    CHECK(*bytes > 1 << 20);
}

TEST_CASE("a plan adds up, mapped pages apart") {
    MemoryPlan plan;
    plan.parts = {{"weights", 100, true}, {"kv_cache", 20, false}, {"logits", 3, false}};
    CHECK(plan.total() == 123);
    CHECK(plan.anonymous() == 23);
}
