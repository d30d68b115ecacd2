#pragma once
#include <qwen3vl/core/pass.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Gate that leaves what a fusion policy adds as it is. Another gate (fusion/gated.hpp) is a callable: gate(ops, rows)
/// gives a factor for each of the rows.
struct NoGate {};

/// Visual tokens replace their placeholders' embeddings, and DeepStack level i is added to them after decoder layer i
/// (`_deepstack_process`, modeling_qwen3_vl.py; Meng et al., 2024, "DeepStack"). A model without levels gets the
/// replacement alone.
///     Policies<>::with_fusion<fusion::DeepStack>
struct DeepStack {
    static constexpr const char* name = "DeepStack";
    /// Rows of visual tokens before the first layer = their features, times the gate of these.
    template <class Weights, class Pass, class Gate = NoGate>
    static void embed(const Pass& pass, [[maybe_unused]] const Gate& gate = {}) {
        pass.for_each_picture([&](const VisualFeatures& f, std::int64_t first, Matrix x) {
            pass.ops.copy_rows({f.embedding_row(first), x.rows, f.width, f.width}, x);
            if constexpr (!std::is_same_v<Gate, NoGate>) pass.ops.scale_rows(gate(pass.ops, x), x);
        });
    }
    /// Tells which policy ends() speaks of: one that derives from this and adds more says nothing, or its own.
    using Ends = DeepStack;
    /// True if nothing is added after decoder layer `layer` and those behind it: the last layer may then leave out rows
    /// that nobody asked for.
    static constexpr bool ends(const ModelDims& d, int layer) { return layer >= d.vision.deepstack_count; }
    /// True if visual tokens' embeddings are set; true if something is added before, or after, a decoder layer.
    static constexpr bool embeds = true;
    static constexpr bool adds_before(int /*layer*/) { return false; }
    static constexpr bool adds_after(const ModelDims& d, int layer) { return layer < d.vision.deepstack_count; }
    /// Rows of visual tokens after layer `layer` += the level of that number, if there is one, times the gate of the
    /// rows.
    template <class Weights, class Pass, class Gate = NoGate>
    static void after_layer(const Pass& pass, int layer, [[maybe_unused]] const Gate& gate = {}) {
        const auto level = static_cast<std::size_t>(layer);
        pass.for_each_picture([&](const VisualFeatures& f, std::int64_t first, Matrix x) {
            if (level >= f.deepstack.size()) return;
            const ConstMatrix rows(f.deepstack_row(level, first), x.rows, f.width, f.width);
            if constexpr (std::is_same_v<Gate, NoGate>)
                pass.ops.add_rows(rows, x);
            else
                pass.ops.add_rows(rows, gate(pass.ops, x), x);
        });
    }
};

}  // namespace qwen3vl::fusion
