#pragma once
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <string>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// Random weights for a model of any Dims, in place of a checkpoint: the same numbers for the same seed and name.
/// Matrices are scaled so that activations keep their size, norms lie around one.
class SyntheticSource {
  public:
    explicit SyntheticSource(std::uint64_t seed = 1, DType dtype = DType::f32) : seed_(seed), dtype_(dtype) {}

    TensorView take(const std::string& name, const Shape& shape) {
        TensorView view{dtype_, shape, nullptr, "synthetic"};
        Rng rng(seed_of(name, seed_));
        const bool matrix = shape.size() > 1, weight = name.ends_with("weight");
        // evenly in [-1, 1) has a variance of 1/3
        const double scale =
            matrix ? std::sqrt(3.0 * static_cast<double>(shape[0]) / static_cast<double>(view.elements())) : 0.1;
        const float middle = !matrix && weight ? 1.0f : 0.0f;
        auto& bytes = memory_.emplace_back(view.bytes());
        for (std::size_t i = 0; i < static_cast<std::size_t>(view.elements()); ++i) {
            const float v = middle + static_cast<float>(scale) * rng.signed_unit();
            const auto put = [&](auto element) {
                std::memcpy(bytes.data() + i * sizeof element, static_cast<const void*>(&element), sizeof element);
            };
            if (dtype_ == DType::f32)
                put(v);
            else if (dtype_ == DType::f16)
                put(f16(v));
            else
                put(bf16(v));
        }
        view.data = bytes.data();
        names_.push_back(name);
        return view;
    }
    /// Names of the tensors asked for so far, in order.
    const std::vector<std::string>& names() const { return names_; }

  private:
    std::uint64_t seed_;
    DType dtype_;
    std::deque<std::vector<std::byte>> memory_;
    std::vector<std::string> names_;
};

/// A model with random weights.
template <class M>
M synthetic_model(std::uint64_t seed = 1, DType dtype = DType::f32) {
    auto source = std::make_shared<SyntheticSource>(seed, dtype);
    return M(*source, source, nullptr, LoadOptions{.progress = {}, .log = {}, .threads = 1});
}

/// Random patches of a grid, each value in [-1, 1).
inline Patches synthetic_patches(const VisionDims& d, Grid grid, std::uint64_t seed = 1) {
    return {grid, Rng(seed).floats(static_cast<std::size_t>(grid.patches() * d.patch_values()))};
}

/// Random token ids in [0, below).
inline std::vector<int> synthetic_tokens(std::size_t n, int below, std::uint64_t seed = 1) {
    Rng rng(seed);
    std::vector<int> tokens(n);
    for (int& t : tokens) t = rng.below(below);
    return tokens;
}

}  // namespace qwen3vl::testing
