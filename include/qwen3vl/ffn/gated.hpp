#pragma once
#include <qwen3vl/weights/linear.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::ffn {

/// The gated feed-forward layer: down(activation(gate(x), up(x))) (`Qwen3VLTextMLP`).
struct Gated {
    static constexpr const char* name = "Gated";
    static constexpr bool preserves_capacity = true;
    /// y += the layer's output for the rows of x; `inner` [x.rows, ffn] is scratch.
    template <class Arch, class Format, class Activation, class Team, class Layer>
    static void add(Team& team, const Layer& w, ConstMatrix x, Matrix inner, Matrix y) {
        weights::linear_pair<Arch, Format>(
            team, x.data, x.stride, x.rows,
            [&](std::int64_t row, std::int64_t first, std::int64_t count, const float* gate, const float* up) {
                Activation::template row<Arch>(gate, up, count, inner.row(row) + first);
            },
            w.gate, w.up);
        weights::linear_add<Arch, Format>(team, inner, w.down, nullptr, y);
    }
};

}  // namespace qwen3vl::ffn
