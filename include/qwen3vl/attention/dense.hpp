#pragma once
#include <qwen3vl/attention/materialised.hpp>
#include <qwen3vl/mask/causal.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Scaled dot-product attention, one query after another with all of its scores materialised (Vaswani et al., 2017, eq.
/// 1): the plain baseline, which reads all keys for each query. Its scratch grows with the number of keys.
///     attention::Dense<mask::Causal>
template <class Mask = mask::Causal>
struct Dense {
    static constexpr const char* name = "Dense";
    using mask = Mask;

    static std::int64_t scratch_floats(std::int64_t /*rows*/, std::int64_t channels, std::int64_t keys) {
        return materialised_floats(1, channels, keys);
    }

    /// out [rows, channels] = softmax(queries · keys^T, masked) · values; `tiles(i)` gives tile i of the head.
    template <class Arch, class Visible, class Tiles>
    static void attend(const QueryBlock& q, const Visible& visible, const Tiles& tiles, float* out, float* scratch) {
        for (std::int64_t r = 0; r < q.rows; ++r) {
            const Partial part = Materialised<Arch>(q.part(r, 1), scratch).over(all_keys, visible, tiles);
            finish<Arch>(1, q.channels, part);
            std::copy_n(part.out, q.channels, out + r * q.channels);
        }
    }
};

}  // namespace qwen3vl::attention
