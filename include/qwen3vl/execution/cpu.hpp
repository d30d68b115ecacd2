#pragma once
#include <algorithm>
#include <cstddef>
#include <fstream>
#include <qwen3vl/core/config.hpp>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include <sched.h>

// The code specific to the operating system's CPUs is here alone.
namespace qwen3vl::inline QWEN3VL_ABI::execution {

/// Physical cores this process may run on: hyper-threads of one core count once.
inline int physical_cores() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    std::set<std::pair<long, long>> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) continue;
        const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        long package = 0, core = cpu;
        std::ifstream(topology + "physical_package_id") >> package;
        if (!(std::ifstream(topology + "core_id") >> core)) core = cpu;
        cores.insert({package, core});
    }
    return std::max<int>(1, static_cast<int>(cores.size()));
}

/// Asks for the line at p, which need not exist, to be brought into the second-level cache.
inline void ask_for_line(const std::byte* p) { __builtin_prefetch(p, 0, 2); }

/// Tells the CPU that this is a spin.
inline void spin_pause() { __builtin_ia32_pause(); }

}  // namespace qwen3vl::execution
