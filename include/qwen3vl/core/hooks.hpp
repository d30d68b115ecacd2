#pragma once
#include <functional>
#include <qwen3vl/core/tensor.hpp>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Receives an intermediate result, valid during the call: its name as in the reference, the layer's index, and its
/// rows. Names are "fusion.before_layer" (the rows that the layer reads), "text.layer", "text.norm", "vision.block",
/// "vision.merger", "vision.deepstack", "vision.patch_embed", "logits". Called on the session's thread.
using TensorHook = std::function<void(std::string_view name, int index, ConstMatrix rows)>;

}  // namespace qwen3vl
