#pragma once
#include <qwen3vl/attention/materialised.hpp>
#include <qwen3vl/mask/causal.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Scaled dot-product attention with all scores of a block materialised (Vaswani et al., 2017, eq. 1): the plain baseline. Its scratch grows
/// with the number of keys.
///     attention::Dense<mask::Causal>
template <class Mask = mask::Causal>
struct Dense {
    static constexpr const char* name = "Dense";
    using mask = Mask;

    static std::int64_t scratch_floats(std::int64_t rows, std::int64_t channels, std::int64_t keys) { return materialised_floats(rows, channels, keys); }

    /// out [rows, channels] = softmax(queries · keys^T, masked) · values; `tiles(i)` gives tile i of the head.
    template <class Arch, class Visible, class Tiles>
    static void attend(const QueryBlock& q, const Visible& visible, const Tiles& tiles, float* out, float* scratch) {
        const Partial part = Materialised<Arch>(q, scratch).over(all_keys, visible, tiles);
        finish<Arch>(q.rows, q.channels, part);
        std::copy_n(part.out, q.rows * q.channels, out);
    }
};

}  // namespace qwen3vl::attention
