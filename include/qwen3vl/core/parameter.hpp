#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Extents of a parameter, outermost first.
using Shape = std::vector<std::int64_t>;

/// Which weights a matrix belongs to: what its format may depend on.
struct Part {
    enum Kind { layer, embedding, vision } kind = layer;
    int index = 0;     ///< of the decoder's layer, or of the tower's stage (vision/parameters.hpp)
    bool ffn = false;  ///< of a layer: whether the matrix is one of its feed-forward part
};

/// A norm's parameters; the bias is empty where the norm has none.
template <class V>
struct NormParameters {
    V weight{}, bias{};
};

/// f(name, shape, parameter) for the one or two parameters of a norm over n channels.
template <bool HasBias, class Norm, class F>
void visit_norm(Norm& norm, const std::string& name, std::int64_t n, F& f) {
    f(name + ".weight", Shape{n}, norm.weight);
    if constexpr (HasBias) f(name + ".bias", Shape{n}, norm.bias);
}

}  // namespace qwen3vl
