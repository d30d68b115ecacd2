#include <algorithm>
#include <cstdint>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/memory/arena.hpp>
#include <qwen3vl/memory/available.hpp>
#include <qwen3vl/memory/plan.hpp>
#include "catch.hpp"

using namespace qwen3vl;
using memory::Arena;

static_assert(concepts::Memory<Arena>);

TEST_CASE("an arena hands out zeroed, aligned, separate blocks as far as it was planned") {
    const std::int64_t sizes[] = {1, 64, 65, 4000, 3};
    std::int64_t planned = 0;
    for (const auto n : sizes) planned += Arena::footprint(n);
    Arena arena(planned);
    std::byte* end = nullptr;
    for (const auto n : sizes) {
        std::byte* p = arena.take(n);
        CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
        CHECK(std::all_of(p, p + n, [](std::byte b) { return b == std::byte{0}; }));
        CHECK((end == nullptr || p >= end));
        std::fill_n(p, n, std::byte{1});
        end = p + n;
    }
    CHECK_THROWS_AS(arena.take(arena.size()), OutOfMemory);
    CHECK_THROWS_WITH(arena.take(arena.size()), Catch::Contains("plan holds"));
}

TEST_CASE("an arena moves with its blocks") {
    Arena a(1 << 20);
    float* p = a.floats(10);
    p[9] = 4.0f;
    Arena b(std::move(a));
    CHECK(p[9] == 4.0f);
    CHECK(b.size() == 1 << 20);
    Arena c;
    c = std::move(b);
    CHECK(p[9] == 4.0f);
    CHECK_THROWS_AS(a.take(1), OutOfMemory);
}

TEST_CASE("an empty arena has nothing, an absurd one is refused") {
    CHECK_THROWS_AS(Arena(0).take(1), OutOfMemory);
    CHECK_THROWS_AS(Arena(std::int64_t{1} << 60), OutOfMemory);
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
