#pragma once
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/memory/arena.hpp>
#include <qwen3vl/memory/buddy_pool.hpp>
#include <qwen3vl/memory/tiered.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::memory {
/// Every memory policy: feeds the conformance tests and the bench.
using all = list<Arena, BuddyPool, Tiered>;
}  // namespace qwen3vl::memory
