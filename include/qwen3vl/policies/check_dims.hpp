#pragma once
#include <cstddef>
#include <qwen3vl/core/dims.hpp>

/// Rules about the extents of a model type.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

template <Dims D>
consteval bool check_text_dims() {
    constexpr TextDims t = D::text;
    constexpr bool given = t.layers > 0 && t.heads > 0 && t.kv_heads > 0 && t.head_dim > 0 && t.hidden > 0 &&
                           t.ffn > 0 && t.vocab > 0 && t.max_positions > 0;
    static_assert(given, "qwen3vl: dims: a field of `text` is zero; give every extent");
    if constexpr (given) {
        constexpr bool groups = t.heads % t.kv_heads == 0;
        static_assert(
            groups,
            "qwen3vl: dims: text.heads is no multiple of text.kv_heads; query heads share key/value heads evenly");
        constexpr bool pairs = t.head_dim % 2 == 0;
        static_assert(pairs, "qwen3vl: dims: text.head_dim is odd; rotary positions turn pairs of channels");
        constexpr bool sections =
            !t.multimodal_rope() || t.mrope_section[0] + t.mrope_section[1] + t.mrope_section[2] == t.head_dim / 2;
        static_assert(sections, "qwen3vl: dims: text.mrope_section does not add up to head_dim / 2");
        return groups && pairs && sections;
    }
    return false;
}

template <VisionLanguageDims D>
consteval bool check_vision_dims() {
    constexpr VisionDims v = D::vision;
    constexpr bool heads =
        v.depth > 0 && v.heads > 0 && v.hidden > 0 && v.hidden % (v.heads > 0 ? v.heads * 4 : 1) == 0;
    static_assert(heads,
                  "qwen3vl: dims: vision.hidden / vision.heads must be a multiple of 4; axial positions turn pairs by "
                  "row and by column");
    constexpr bool square = v.positions > 0 && v.side() * v.side() == v.positions;
    static_assert(square, "qwen3vl: dims: vision.positions is no square; the position table is side x side");
    constexpr bool width = v.out == D::text.hidden;
    static_assert(
        width, "qwen3vl: dims: vision.out differs from text.hidden; visual tokens enter the decoder's residual stream");
    constexpr bool levels = v.deepstack_count >= 0 && v.deepstack_count <= static_cast<int>(v.deepstack.size()) &&
                            v.deepstack_count <= D::text.layers;
    static_assert(levels, "qwen3vl: dims: vision.deepstack_count exceeds the levels given or the decoder's layers");
    if constexpr (levels) {
        constexpr bool ascending = [](const VisionDims& d) {
            for (std::size_t i = 0; i < static_cast<std::size_t>(d.deepstack_count); ++i)
                if (d.deepstack[i] < 0 || d.deepstack[i] >= d.depth || (i > 0 && d.deepstack[i] <= d.deepstack[i - 1]))
                    return false;
            return true;
        }(v);
        static_assert(ascending,
                      "qwen3vl: dims: vision.deepstack must name blocks below vision.depth in ascending order");
        return heads && square && width && ascending;
    }
    return false;
}

template <Dims D>
consteval bool check_dims() {
    if constexpr (VisionLanguageDims<D>)
        return check_text_dims<D>() && check_vision_dims<D>();
    else
        return check_text_dims<D>();
}

}  // namespace qwen3vl::detail
