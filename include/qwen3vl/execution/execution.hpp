#pragma once
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/core/row_blocks.hpp>
#include <qwen3vl/execution/serial.hpp>
#include <qwen3vl/execution/threads.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::execution {
/// Every execution policy: feeds the conformance tests and the bench.
using all = list<Serial, Threads<>>;

}  // namespace qwen3vl::execution
