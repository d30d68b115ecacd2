#pragma once
#include <qwen3vl/activation/gelu.hpp>
#include <qwen3vl/activation/swiglu.hpp>
#include <qwen3vl/core/list.hpp>

/// Activations of feed-forward layers and mergers: one row in, one row out.
namespace qwen3vl::inline QWEN3VL_ABI::activation {
/// Every activation: feeds the conformance tests and the bench.
using all = list<SwiGLU, GeluExact, GeluTanh>;
}  // namespace qwen3vl::activation
