#include <array>
#include <atomic>
#include <chrono>
#include <fstream>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include <thread>
#include <vector>
#include "catch.hpp"

#include <sys/resource.h>

using namespace qwen3vl;

TEMPLATE_LIST_TEST_CASE("a team runs every task once, on a thread of its own numbers", "",
                        testing::tuple_t<execution::all>) {
    using Execution = typename TestType::type;
    static_assert(concepts::Execution<Execution>);
    for (int size : {0, 1, 2, 3, 7}) {
        typename Execution::Team team(size);
        CHECK(team.threads() == Execution::team_size(size));
        CHECK(team.threads() >= 1);
        for (std::int64_t count : {0, 1, 2, 3, 8, 100, 1000}) {
            std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
            std::atomic<int> outside{0};
            team.run(count, [&](std::int64_t task, int thread) {
                ++runs[static_cast<std::size_t>(task)];
                outside += thread < 0 || thread >= team.threads();
            });
            int wrong = 0;
            for (const auto& r : runs) wrong += r != 1;
            CHECK(wrong == 0);
            CHECK(outside == 0);
        }
    }
}

TEMPLATE_LIST_TEST_CASE("what a run wrote is there when it returns, run after run", "",
                        testing::tuple_t<execution::all>) {
    typename TestType::type::Team team(3);
    std::vector<int> values(50, 0);
    for (int round = 1; round <= 3000; ++round) {
        team.run(50, [&](std::int64_t task, int) { values[static_cast<std::size_t>(task)] += round; });
        if (values != std::vector<int>(50, round * (round + 1) / 2)) FAIL("round " << round);
    }
    SUCCEED();
}

TEMPLATE_LIST_TEST_CASE("no two tasks of one thread overlap", "", testing::tuple_t<execution::all>) {
    typename TestType::type::Team team(3);
    std::vector<std::atomic<int>> inside(static_cast<std::size_t>(team.threads()));
    std::atomic<int> overlaps{0};
    team.run(500, [&](std::int64_t, int thread) {
        auto& n = inside[static_cast<std::size_t>(thread)];
        overlaps += n.fetch_add(1) != 0;
        n.fetch_sub(1);
    });
    CHECK(overlaps == 0);
}

TEMPLATE_LIST_TEST_CASE("a task's exception reaches the caller, and the team goes on", "",
                        testing::tuple_t<execution::all>) {
    typename TestType::type::Team team(3);
    for (std::int64_t bad : {0, 5, 19}) {
        const auto run = [&] {
            team.run(20, [&](std::int64_t task, int) {
                if (task == bad) throw LoadError("task " + std::to_string(bad));
            });
        };
        CHECK_THROWS_AS(run(), LoadError);
        CHECK_THROWS_WITH(run(), "task " + std::to_string(bad));
        std::atomic<int> done{0};
        team.run(20, [&](std::int64_t, int) { ++done; });
        CHECK(done == 20);
    }
    const auto all = [&] { team.run(20, [](std::int64_t, int) { throw LoadError("each"); }); };
    CHECK_THROWS_WITH(all(), "each");
}

TEMPLATE_LIST_TEST_CASE("a limited team runs every task once, run after run", "", testing::tuple_t<execution::all>) {
    typename TestType::type::Team team(5);
    const int size = team.threads();
    for (int round = 0; round < 600; ++round) {
        team.limit(round % 7);  // 0: all; 6: more than there are
        CHECK(team.threads() == size);
        std::vector<int> runs(20, 0);
        std::atomic<int> outside{0};
        team.run(20, [&](std::int64_t task, int thread) {
            ++runs[static_cast<std::size_t>(task)];
            outside += thread < 0 || thread >= size;
        });
        if (runs != std::vector<int>(20, 1) || outside != 0) FAIL("round " << round);
    }
}

TEMPLATE_LIST_TEST_CASE("memory that is prefetched need not exist, and nothing else changes", "",
                        testing::tuple_t<execution::all>) {
    typename TestType::type::Team team(3);
    for (int round = 0; round < 300; ++round) {
        team.prefetch(round % 5,
                      [&](std::int64_t task) { return reinterpret_cast<const std::byte*>(task * 4096 + round % 2); });
        std::atomic<int> done{0};
        team.run(round % 7, [&](std::int64_t, int) { ++done; });
        if (done != round % 7) FAIL("round " << round);
    }
    SUCCEED();
}

TEST_CASE("each thread begins where the tasks are split evenly, and what it is to read is asked for there") {
    execution::Threads<>::Team team(3);
    std::vector<std::int64_t> asked;
    const auto where = [&](std::int64_t task) {
        asked.push_back(task);
        return static_cast<const std::byte*>(nullptr);
    };
    team.prefetch(10, where);
    CHECK(asked == std::vector<std::int64_t>{0, 3, 6});
    asked.clear();
    team.prefetch(2, where);  // one thread has none to begin with
    CHECK(asked == std::vector<std::int64_t>{0, 1});
    std::vector<std::int64_t> first(3, -1);
    std::atomic<int> ready{0};
    team.run(9, [&](std::int64_t task, int thread) {
        auto& mine = first[static_cast<std::size_t>(thread)];
        if (mine >= 0) return;
        mine = task;
        ++ready;
        while (ready < 3) std::this_thread::yield();  // all have begun
    });
    CHECK(first == std::vector<std::int64_t>{0, 3, 6});
}

TEST_CASE("threads beyond the limit sleep") {
    execution::Threads<>::Team team(4);
    const auto seen = [&](std::int64_t tasks) {
        std::array<std::atomic<bool>, 4> by{};
        team.run(tasks, [&](std::int64_t, int thread) {
            by[static_cast<std::size_t>(thread)] = true;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        });
        return std::array<bool, 4>{by[0], by[1], by[2], by[3]};
    };
    CHECK(seen(100) == std::array<bool, 4>{true, true, true, true});
    for (const int limit : {2, 3, 1}) {
        team.limit(limit);
        std::this_thread::sleep_for(
            std::chrono::milliseconds(50));  // a thread on its way to its next task may still take one
        const auto by = seen(100);
        for (int t = 0; t < 4; ++t) CHECK(by[static_cast<std::size_t>(t)] == (t < limit));
    }
    team.limit(0);
    CHECK(seen(100) == std::array<bool, 4>{true, true, true, true});
}

TEST_CASE("an idle team uses no CPU") {
    execution::Threads<>::Team team(4);
    team.run(8, [](std::int64_t, int) {});
    const auto cpu_seconds = [] {
        rusage u{};
        getrusage(RUSAGE_SELF, &u);
        return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               1e-6 * static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    };
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // until they sleep
    const double before = cpu_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    CHECK(cpu_seconds() - before < 0.05);  // one that spins uses 0.2
}

TEST_CASE("the caller does what others have not begun") {
    execution::Threads<>::Team team(2);
    std::atomic<bool> held{false}, release{false};
    std::atomic<int> done{0};
    // the other thread is stuck in one task until all the rest is done
    team.run(200, [&](std::int64_t, int thread) {
        if (thread == 1 && !held.exchange(true))
            while (!release) std::this_thread::yield();
        if (++done == 199) release = true;
        if (thread == 0 && !held)
            std::this_thread::sleep_for(std::chrono::microseconds(100));  // the other has time to come
    });
    CHECK(done == 200);
}

TEMPLATE_LIST_TEST_CASE("a team that never ran, and many that come and go", "", testing::tuple_t<execution::all>) {
    for (int i = 0; i < 50; ++i) {
        typename TestType::type::Team team(4);
        if (i % 2) team.run(4, [](std::int64_t, int) {});
    }
    SUCCEED();
}

TEST_CASE("a thread count can be part of the type") {
    CHECK(execution::Threads<ThreadCount{3}>::team_size(0) == 3);
    CHECK(execution::Threads<ThreadCount{3}>::team_size(2) == 2);
    CHECK(execution::Threads<>::team_size(0) == execution::physical_cores());
    CHECK(execution::Threads<>::team_size(-1) == execution::physical_cores());
    CHECK(execution::Serial::team_size(8) == 1);
}

TEMPLATE_LIST_TEST_CASE("blocks of rows cover them once", "", testing::tuple_t<execution::all>) {
    typename TestType::type::Team team(3);
    for (std::int64_t rows : {1, 2, 7, 8, 9, 100, 1001}) {
        std::vector<std::atomic<int>> runs(static_cast<std::size_t>(rows));
        execution::for_row_blocks(team, rows, 8, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t r = begin; r < end; ++r) ++runs[static_cast<std::size_t>(r)];
        });
        int wrong = 0;
        for (const auto& r : runs) wrong += r != 1;
        CHECK(wrong == 0);
    }
}

#if !defined(QWEN3VL_SANITIZED)  // sanitizers reserve address space of their own
TEST_CASE("a team that the system cannot start is refused whole") {
    long pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(pages) * 4096 + (rlim_t{256} << 20);  // some 30 stacks of 8 MiB
    REQUIRE(setrlimit(RLIMIT_AS, &tight) == 0);
    CHECK_THROWS_AS(execution::Threads<>::Team(2000), OutOfMemory);
    CHECK_THROWS_WITH(execution::Threads<>::Team(2000), Catch::Contains("2000 threads"));
    REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
    execution::Threads<>::Team team(2);
    std::atomic<int> done{0};
    team.run(9, [&](std::int64_t, int) { ++done; });
    CHECK(done == 9);
}
#endif
