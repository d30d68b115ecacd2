#pragma once
#include <qwen3vl/core/half.hpp>
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/core/tensor.hpp>

/// Weight formats as policies. What a format does stands in its traits; algorithms name none.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// float32, 4 bytes a weight. A float32 checkpoint is used where it is mapped.
struct Float32 {
    static constexpr const char* name = "float32";
};
/// bfloat16, 2 bytes a weight, arithmetic in float32. A bf16 checkpoint, as released, is used where it is mapped.
struct Bf16 {
    static constexpr const char* name = "bf16";
};
/// binary16, 2 bytes a weight, arithmetic in float32. Weights beyond 65504 are refused at load.
struct F16 {
    static constexpr const char* name = "f16";
};

/// Every format: feeds the conformance tests, the benches and the tools' bundle names.
using all = list<Float32, Bf16, F16>;

}  // namespace qwen3vl::weights
