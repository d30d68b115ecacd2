#pragma once
// For tests that name their instruction set, most of them compiled once for each: what runs is what the build asked
// for.
#include <qwen3vl/core/arch.hpp>
#include "catch.hpp"

using Arch = qwen3vl::arch::QWEN3VL_EXPECTED_ARCH;
static_assert(Arch::compiled && std::is_base_of_v<qwen3vl::arch::native, Arch>,
              "compiled for another instruction set than this test is named after");

namespace qwen3vl_test {

/// Kernels are called without a model here: some targets have to be asked for first.
inline const bool supported = Arch::supported();

/// Roundings on the way of one addend through a float32 sum over n: one for each vector, and the sum of the lanes.
inline double sum_depth(std::int64_t n) { return static_cast<double>(n / Arch::floats + 1 + Arch::floats); }

}  // namespace qwen3vl_test
