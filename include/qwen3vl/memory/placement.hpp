#pragma once
#include <qwen3vl/memory/available.hpp>
#include <qwen3vl/memory/role.hpp>
#include <string>

/// Memory of things that describe their blocks by a visit: visit(f) calls f(part, place, bytes, role) for each.
namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// Bytes that blocks take from a memory policy.
template <class Memory, class Visit>
std::int64_t footprint_of(Visit&& visit) {
    std::int64_t sum = 0;
    visit([&](const char*, auto&, std::int64_t bytes, const Role&) { sum += Memory::footprint(bytes); });
    return sum;
}

/// Makes a memory policy that holds the blocks, and tells each its place. `tiers` may be null. Throws OutOfMemory, and
/// ConfigError for tiers that the policy does not take.
template <class Memory, class Visit>
Memory allocate(Tiers* tiers, Visit&& visit) {
    Memory memory = make<Memory>(footprint_of<Memory>(visit), tiers);
    visit([&](const char*, auto& place, std::int64_t bytes, const Role& role) { place = take(memory, bytes, role); });
    settle(memory);
    return memory;
}

/// Throws OutOfMemory where the machine has fewer bytes available: "WHAT needs N MiB, available are M MiB; ADVICE".
inline void require_available(std::int64_t bytes, const std::string& what, const char* advice) {
    if (const auto free = available(); free && bytes > *free)
        throw OutOfMemory(what + " needs " + std::to_string(bytes >> 20) + " MiB, available are " +
                          std::to_string(*free >> 20) + " MiB; " + advice);
}

}  // namespace qwen3vl::memory
