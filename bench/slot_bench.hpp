#pragma once
#include <benchmark/benchmark.h>
#include <cstdio>
#include <exception>
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/core/models.hpp>
#include <random>
#include <span>
#include <string>
#include <vector>
#include "limits.hpp"

/// What the benches of the slots share: one row is a policy at full 2B extents, beside the limit measured around it.
namespace bench {

using Full = q::models::Qwen3VL_2B;

/// The limits of so many threads, measured in this run.
inline Limits& limits(int threads) {
    static std::map<int, Limits> all;
    return all.try_emplace(threads, threads, 0.0002).first->second;
}

/// Thread counts that are worth a row: one, and all physical cores.
inline std::vector<int> thread_counts() {
    const int all = q::execution::physical_cores();
    return all > 1 ? std::vector{1, all} : std::vector{1};
}

/// Uniform numbers of [-1, 1).
inline std::vector<float> random_floats(std::int64_t count, std::uint32_t seed = 1) {
    std::minstd_rand engine(seed);
    std::vector<float> v(static_cast<std::size_t>(count));
    for (auto& x : v) x = static_cast<float>(engine()) / 1073741824.0f - 1.0f;
    return v;
}

/// Times body() and reports: items and, of the best iteration, GFLOP/s, GB/s and the share of `limit_seconds()`, which
/// is asked before and after.
template <class Body, class Limit>
void measure_against(benchmark::State& state, const Part& part, std::int64_t items, Body&& body,
                     Limit&& limit_seconds) {
    double best = 1e9;
    body();  // pages and caches are there
    limit_seconds();
    for (auto _ : state) {
        const auto start = Clock::now();
        body();
        best = std::min(best, seconds_since(start));
    }
    state.SetItemsProcessed(state.iterations() * items);
    if (part.operations > 0) state.counters["GFLOP/s"] = part.operations / best / 1e9;
    if (part.bytes > 0) state.counters["GB/s"] = part.bytes / best / 1e9;
    state.counters["share"] = limit_seconds() / best;
}

/// The same against the machine's limits for `part`, the work of one body(), on so many threads.
template <class Body>
void measure(benchmark::State& state, int threads, const Part& part, std::int64_t items, Body&& body) {
    measure_against(state, part, items, body, [&] {
        again(limits(threads), part);
        return least_seconds(limits(threads), part);
    });
}

/// A row. What the body throws becomes the row's error.
template <class F>
void add(const std::string& name, F&& f) {
    benchmark::RegisterBenchmark(name.c_str(),
                                 [f](benchmark::State& state) {
                                     try {
                                         f(state);
                                     } catch (const std::exception& e) {
                                         state.SkipWithError(e.what());
                                     }
                                 })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
}

/// Runs the rows. Exit status 1 where an option is unknown, nothing was selected or the CPU lacks the instruction set.
inline int run(int argc, char** argv) {
    try {
        q::arch::require_supported<Arch>();
        benchmark::Initialize(&argc, argv);
        if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
        benchmark::AddCustomContext("machine", machine());
        const bool ran = benchmark::RunSpecifiedBenchmarks() > 0;
        benchmark::Shutdown();
        return ran ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}

}  // namespace bench
