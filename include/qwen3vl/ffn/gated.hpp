#pragma once
#include <array>
#include <qwen3vl/weights/linear.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::ffn {

/// The gated feed-forward layer: down(activation(gate(x), up(x))) (`Qwen3VLTextMLP`).
struct Gated {
    static constexpr const char* name = "Gated";
    static constexpr bool preserves_capacity = true;
    /// y += the layer's output for the rows of x; `inner` has as many rows of ffn columns.
    template <class Arch, class Format, class Activation, class Team, class Layer>
    static void add(Team& team, const Layer& w, const weights::Input& x, const weights::Input& inner, Matrix y) {
        weights::announce<Arch, Format>(team, std::array{&w.down}, weights::free_height<Arch>(x.rows, w.down));
        weights::linear_pair<Arch, Format>(team, x, w.gate, w.up,
                                           [&](std::int64_t row, std::int64_t first, std::int64_t count, const float* gate, const float* up) {
                                               alignas(64) float joined[weights::task_rows];
                                               Activation::template row<Arch>(gate, up, count, joined);
                                               weights::traits<Format>::template encode<Arch>(inner, row, first, count, joined);
                                           });
        weights::linear_add<Arch, Format>(team, inner, w.down, nullptr, y);
    }
};

}  // namespace qwen3vl::ffn
