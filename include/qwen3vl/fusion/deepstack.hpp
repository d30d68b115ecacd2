#pragma once
#include <algorithm>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/kernels/rows.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Visual tokens replace their placeholders' embeddings, and DeepStack level i is added to them after decoder layer i
/// (`_deepstack_process`, modeling_qwen3_vl.py; Meng et al., 2024, "DeepStack"). A model without levels gets the replacement alone.
struct DeepStack {
    static constexpr const char* name = "DeepStack";
    /// Rows of x before the first layer = visual tokens [first, first + x.rows).
    static void embed(const VisualFeatures& features, std::int64_t first, Matrix x) {
        for (std::int64_t r = 0; r < x.rows; ++r) std::copy_n(features.embedding_row(first + r), x.cols, x.row(r));
    }
    /// Rows of x after layer `layer` += the level of that number, if there is one.
    template <class Arch>
    static void after_layer(int layer, const VisualFeatures& features, std::int64_t first, Matrix x) {
        const auto level = static_cast<std::size_t>(layer);
        if (level >= features.deepstack.size()) return;
        for (std::int64_t r = 0; r < x.rows; ++r) kernels::add_row<Arch>(features.deepstack_row(level, first + r), x.cols, x.row(r));
    }
};

}  // namespace qwen3vl::fusion
