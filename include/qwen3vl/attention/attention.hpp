#pragma once
#include <qwen3vl/attention/chunked.hpp>
#include <qwen3vl/attention/dense.hpp>
#include <qwen3vl/attention/flash.hpp>
#include <qwen3vl/attention/global_every.hpp>
#include <qwen3vl/attention/linear.hpp>
#include <qwen3vl/core/list.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {
/// Every attention algorithm under one mask: feeds the conformance tests and the bench. A new algorithm adds itself
/// here.
template <class Mask>
using all = list<Dense<Mask>, Flash<Mask>, Chunked<Mask>>;
}  // namespace qwen3vl::attention
