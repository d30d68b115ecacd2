// Execution policies: what it costs to start a piece of work on all threads and to wait for its end. The limit is one
// line's way from a core to another and back, which such a meeting needs at least; on one thread, an instruction a
// task.
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

template <class Execution>
void add_meeting(int threads, std::int64_t tasks, std::int64_t pause_microseconds) {
    const std::string pause = pause_microseconds > 0 ? "/after_us:" + std::to_string(pause_microseconds) : "";
    bench::add("execution/" + std::string(Execution::name) + "/tasks:" + std::to_string(tasks) + pause +
                   "/threads:" + std::to_string(threads),
               [=](benchmark::State& state) {
                   typename Execution::Team team(threads);
                   constexpr std::int64_t meetings = 64;
                   double waited = 0;
                   const double pause_seconds = 1e-6 * static_cast<double>(pause_microseconds);
                   const auto meet = [&] {
                       for (std::int64_t i = 0; i < meetings; ++i) {
                           const auto start = bench::Clock::now();
                           while (bench::seconds_since(start) < pause_seconds) q::execution::spin_pause();
                           team.run(tasks, [](std::int64_t task, int) { benchmark::DoNotOptimize(task); });
                       }
                       waited = static_cast<double>(meetings) * pause_seconds;
                   };
                   double trip = 1.0;
                   const auto limit = [&] {
                       trip = std::min(trip, team.threads() > 1 ? bench::Limits::round_trip()
                                                                : 1.0 / (bench::limits(1).peak("fma_float32") /
                                                                         (2.0 * bench::Arch::floats)));
                       return waited + trip * static_cast<double>(meetings) *
                                           static_cast<double>(team.threads() > 1 ? 1 : tasks);
                   };
                   bench::measure_against(state, {}, meetings, meet, limit);
               });
}

}  // namespace

int main(int argc, char** argv) {
    q::for_each_type<q::execution::all>([]<class E>(E) {
        using Execution = typename E::type;
        const int threads = Execution::team_size(0);
        for (const std::int64_t tasks : {threads, 96}) add_meeting<Execution>(threads, tasks, 0);
        if (threads > 1) add_meeting<Execution>(threads, threads, 200);  // the others sleep by then
    });
    return bench::run(argc, argv);
}
