#pragma once
#include <array>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/weights/matrix.hpp>

/// Feed-forward layers of the decoder.
namespace qwen3vl::inline QWEN3VL_ABI::ffn {

/// The gated feed-forward layer: down(activation(gate(x), up(x))) (`Qwen3VLTextMLP`).
struct Gated {
    static constexpr const char* name = "Gated";
    static constexpr bool preserves_capacity = true;

    /// Its three matrices, as parameters_of() says.
    template <class M, class V>
    struct Parameters {
        M gate{}, up{}, down{};  ///< [ffn, hidden] twice, [hidden, ffn]
    };
    template <class P, class F>
    static void visit_parameters(const TextDims& d, P& p, F&& f) {
        f("mlp.gate_proj.weight", Shape{d.ffn, d.hidden}, p.gate);
        f("mlp.up_proj.weight", Shape{d.ffn, d.hidden}, p.up);
        f("mlp.down_proj.weight", Shape{d.hidden, d.ffn}, p.down);
    }

    /// The matrices that are read first.
    template <class P>
    static auto first(const P& w) {
        return std::array{&w.gate};
    }
    /// y += the layer's output for the rows of x; `inner` has as many rows of ffn columns.
    template <class Format, class Activation, class Ops, class P, class Packed, class Rows>
    static void add(const Ops& ops, const P& w, const Packed& x, const Packed& inner, const Rows& y) {
        ops.template prefetch<Format>(w.down, x.rows);
        ops.template gated<Format, Activation>(x, w.gate, w.up, inner);
        ops.template add<Format>(inner, w.down, nullptr, y);
    }
};

}  // namespace qwen3vl::ffn
