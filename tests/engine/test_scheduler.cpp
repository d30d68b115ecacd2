#include <qwen3vl/engine/scheduler.hpp>
#include "catch.hpp"

namespace scheduler_test {

using qwen3vl::engine::Demand, qwen3vl::engine::Scheduler, qwen3vl::engine::Ticket;

/// Takes the waiting requests out one after the other, at one time; returns their numbers.
std::vector<std::uint64_t> order(Scheduler& s, double now, std::vector<const Ticket*> running = {}) {
    std::vector<std::uint64_t> out;
    while (const Ticket* t = s.next(now, running)) {
        out.push_back(t->id);
        s.remove(t->id);
    }
    return out;
}

TEST_CASE("requests run by priority, and by arrival within one") {
    Scheduler s({.aging = 0});
    s.wait({1, 0, "a", 0.0});
    s.wait({2, 5, "a", 1.0});
    s.wait({3, 5, "a", 0.5});
    s.wait({4, -1, "a", 0.0});
    CHECK(order(s, 1e6) == std::vector<std::uint64_t>{3, 2, 1, 4});
}

TEST_CASE("clients with less that runs go first") {
    Scheduler s({.aging = 0});
    const Ticket a{9, 0, "a", 0.0};
    s.wait({1, 0, "a", 0.0});
    s.wait({2, 0, "b", 3.0});
    CHECK(s.next(4, {&a})->id == 2);
    CHECK(s.next(4, {})->id == 1);
    CHECK(s.next(4, {&a, &a})->id == 2);
}

TEST_CASE("waiting raises the priority, so that nobody starves") {
    Scheduler s({.aging = 10});
    s.wait({1, 0, "low", 0.0});
    bool ran = false;
    for (int second = 0; second < 100 && !ran; ++second) {  // a stream of requests of a higher priority
        s.wait({100u + static_cast<std::uint64_t>(second), 3, "high", static_cast<double>(second)});
        const auto id = s.next(second, {})->id;
        ran = id == 1;
        if (ran) CHECK(second >= 30);
        s.remove(id);
    }
    CHECK(ran);
}

TEST_CASE("the latest request of the lowest priority gives up its pages") {
    const Ticket a{1, 0, "", 0.0}, b{2, 0, "", 1.0}, c{3, 1, "", 2.0};
    CHECK(Scheduler::victim({&a, &b, &c})->id == 2);
    CHECK(Scheduler::victim({&c})->id == 3);
    CHECK(Scheduler::victim({}) == nullptr);
}

TEST_CASE("answers go on in every step, prompts share what is left in their order") {
    const Scheduler s({.rows = 64, .prefill_rows = 16});
    CHECK(s.share({{100, false}, {1, true}, {5, false}}) == std::vector<std::int64_t>{16, 1, 0});
    CHECK(s.share({{100, false}, {5, false}}) == std::vector<std::int64_t>{64, 0});
    CHECK(s.share({{10, false}, {3, true}, {50, false}}) == std::vector<std::int64_t>{10, 3, 6});
    CHECK(s.share({{80, true}, {1, true}}) == std::vector<std::int64_t>{64, 0});
}

}  // namespace scheduler_test
