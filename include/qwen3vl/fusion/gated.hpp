#pragma once
#include <cmath>
#include <qwen3vl/core/activations.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/fusion/deepstack.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Vision-language gates by token: what Inner adds to a row x of the stream is multiplied by
///
///     2 * sigmoid(weight · x + bias)
///
/// with a weight and bias for each place where it adds (before a layer, after one); features that become embeddings are
/// gated by themselves. Zeros give the bits of Inner. Inner is DeepStack, a CrossAttention or a
/// Bilinear.
///     Policies<>::with_fusion<fusion::Gated<fusion::DeepStack>>
template <class Inner>
struct Gated : Inner {
    static constexpr const char* name = "Gated";
    using Ends = Gated;
    static constexpr bool ends(const ModelDims& d, int layer) {
        if constexpr (std::is_same_v<typename Inner::Ends, Inner>)
            return Inner::ends(d, layer);
        else
            return false;
    }

    /// A gate's parameters, by name under `fusion.gates.embed`, `fusion.gates.before.N` and `fusion.gates.after.N`, N
    /// being a decoder layer. Those of Inner have its own names.
    template <class V>
    struct Gate {
        V weight{}, bias{};  ///< [hidden], [1]
    };
    template <class M, class V>
    struct Parameters {
        [[no_unique_address]] parameters_of<Inner, M, V> inner;  ///< of Inner
        Gate<V> embed;                                           ///< of features that become embeddings
        std::vector<Gate<V>> before, after;                      ///< by decoder layer; empty where Inner adds nothing
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& d, P& p, F&& f) {
        visit_parameters_of<Inner>(d, p.inner, f);
        const auto gate = [&](const std::string& place, auto& g) {
            f("fusion.gates." + place + ".weight", Shape{d.text.hidden}, g.weight);
            f("fusion.gates." + place + ".bias", Shape{1}, g.bias);
        };
        const auto layers = static_cast<std::size_t>(d.text.layers);
        if constexpr (!std::is_const_v<P>) {
            p.before.resize(layers);
            p.after.resize(layers);
        }
        if (Inner::embeds) gate("embed", p.embed);
        for (int i = 0; i < d.text.layers; ++i) {
            if (Inner::adds_before(i)) gate("before." + std::to_string(i), p.before[static_cast<std::size_t>(i)]);
            if (Inner::adds_after(d, i)) gate("after." + std::to_string(i), p.after[static_cast<std::size_t>(i)]);
        }
    }

    static std::int64_t scratch_floats(const ModelDims& d, int threads, std::int64_t rows, std::int64_t context) {
        std::int64_t floats = round_up(rows, 16);
        if constexpr (requires { Inner::scratch_floats(d, threads, rows, context); })
            floats += Inner::scratch_floats(d, threads, rows, context);
        return floats;
    }

    template <class Weights, class Pass>
    static void embed(const Pass& pass) {
        Inner::template embed<Weights>(inner_pass(pass), of_rows(pass, pass.parameters.embed));
    }
    template <class Weights, class Pass>
    static void before_layer(const Pass& pass, int layer) {
        if constexpr (requires { Inner::template before_layer<Weights>(inner_pass(pass), layer); })
            Inner::template before_layer<Weights>(
                inner_pass(pass), layer, of_rows(pass, pass.parameters.before[static_cast<std::size_t>(layer)]));
    }
    template <class Weights, class Pass>
    static void after_layer(const Pass& pass, int layer) {
        if constexpr (requires { Inner::template after_layer<Weights>(inner_pass(pass), layer); })
            Inner::template after_layer<Weights>(inner_pass(pass), layer,
                                                 of_rows(pass, pass.parameters.after[static_cast<std::size_t>(layer)]));
    }

  private:
    /// Gates of rows, in the policy's scratch.
    template <class V>
    struct OfRows {
        const Gate<V>& gate;
        float* factors;
        template <class Ops>
        const float* operator()(const Ops& ops, ConstMatrix x) const {
            ops.dot_rows(x, gate.weight, factors,
                         [bias = gate.bias[0]](float dot) { return 2.0f / (1.0f + std::exp(-(dot + bias))); });
            return factors;
        }
    };
    template <class Pass, class V>
    static OfRows<V> of_rows(const Pass& pass, const Gate<V>& gate) {
        return {gate, pass.scratch};
    }
    /// The pass as Inner sees it.
    template <class Ops, class P, class State>
    static auto inner_pass(const Pass<Ops, P, State>& pass) {
        return Pass<Ops, decltype(pass.parameters.inner), State>{pass.ops,
                                                                 pass.dims,
                                                                 pass.parameters.inner,
                                                                 pass.sequences,
                                                                 pass.x,
                                                                 pass.activations,
                                                                 pass.scratch + round_up(pass.activations.x.rows, 16)};
    }
};

}  // namespace qwen3vl::fusion
