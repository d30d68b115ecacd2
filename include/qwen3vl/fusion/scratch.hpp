#pragma once
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/tensor.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Parts of a policy's scratch, one behind another, each aligned to 64 bytes. Without memory it counts alone: floats()
/// after all parts were taken is what scratch_floats() tells.
class ScratchParts {
  public:
    /// Lays parts over memory, or counts them where it is null.
    explicit ScratchParts(float* memory) : memory_(memory) {}
    /// Takes n floats; null where there is no memory.
    float* take(std::int64_t n) {
        float* at = rest();
        floats_ += round_up(n, 16);
        return at;
    }
    /// Takes rows without gaps.
    Matrix matrix(std::int64_t rows, std::int64_t cols) { return Matrix(take(rows * cols), rows, cols); }
    /// Memory behind the parts taken so far.
    float* rest() const { return memory_ ? memory_ + floats_ : nullptr; }
    /// Floats taken so far, with what alignment costs.
    std::int64_t floats() const { return floats_; }

  private:
    float* memory_;
    std::int64_t floats_ = 0;
};

}  // namespace qwen3vl::fusion
