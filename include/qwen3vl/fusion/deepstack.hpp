#pragma once
#include <qwen3vl/core/pass.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Visual tokens replace their placeholders' embeddings, and DeepStack level i is added to them after decoder layer i
/// (`_deepstack_process`, modeling_qwen3_vl.py; Meng et al., 2024, "DeepStack"). A model without levels gets the
/// replacement alone.
struct DeepStack {
    static constexpr const char* name = "DeepStack";
    /// Rows of visual tokens before the first layer = their features.
    template <class Weights, class Pass>
    static void embed(const Pass& pass) {
        pass.for_each_picture([&](const VisualFeatures& f, std::int64_t first, Matrix x) {
            pass.ops.copy_rows({f.embedding_row(first), x.rows, f.width, f.width}, x);
        });
    }
    /// Tells which policy ends() speaks of: one that derives from this and adds more says nothing, or its own.
    using Ends = DeepStack;
    /// True if nothing is added after decoder layer `layer` and those behind it: the last layer may then leave out rows
    /// that nobody asked for.
    static constexpr bool ends(const ModelDims& d, int layer) { return layer >= d.vision.deepstack_count; }
    /// Rows of visual tokens after layer `layer` += the level of that number, if there is one.
    template <class Weights, class Pass>
    static void after_layer(const Pass& pass, int layer) {
        const auto level = static_cast<std::size_t>(layer);
        pass.for_each_picture([&](const VisualFeatures& f, std::int64_t first, Matrix x) {
            if (level < f.deepstack.size())
                pass.ops.add_rows({f.deepstack_row(level, first), x.rows, f.width, f.width}, x);
        });
    }
};

}  // namespace qwen3vl::fusion
