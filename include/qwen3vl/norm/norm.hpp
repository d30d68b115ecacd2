#pragma once
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/norm/layer_norm.hpp>
#include <qwen3vl/norm/rms_norm.hpp>

/// Norms over the channels of a row.
namespace qwen3vl::inline QWEN3VL_ABI::norm {
/// Every norm: feeds the conformance tests and the bench.
using all = list<RMSNorm, LayerNorm>;
}  // namespace qwen3vl::norm
