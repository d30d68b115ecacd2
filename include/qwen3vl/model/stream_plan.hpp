#pragma once
#include <algorithm>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/uncached_file.hpp>
#include <qwen3vl/model/manifest.hpp>
#include <qwen3vl/weights/traits.hpp>
#include <vector>

/// Streaming plan: which weights are streamed (weights::Streamed), in which parts, and the memory that takes.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// Layers in the window of a model: the most that one of its formats asks for; 0: nothing is streamed.
template <Dims D, class P>
inline constexpr int window_layers = [] {
    int n = weights::streaming<typename P::Text::EmbeddingWeights>::layers;
    for (std::size_t i = 0; i < layer_period<P>; ++i)
        with_layer_slots<P>(i, [&](auto index) {
            n = std::max(n, weights::streaming<typename LayerSlots<P, index()>::StoredWeights>::layers);
        });
    if constexpr (VisionLanguageDims<D>) n = std::max(n, weights::streaming<typename P::Vision::Weights>::layers);
    return n;
}();

/// Inputs of a stream plan beside the manifest.
struct StreamExtents {
    std::int64_t layer_weights = 0;  ///< numbers in the matrices of a decoder layer
    std::int64_t panel_rows = 0;     ///< rows of a packed panel of the Arch
    int window_layers = 0;
    std::vector<bool> runs;  ///< by decoder layer; true: it is computed

    /// Rows of a matrix that are packed at once, and rows of a block of the head: as many weights as a decoder layer
    /// has.
    std::int64_t rows_at_once(std::int64_t cols) const {
        return std::max<std::int64_t>(1, layer_weights / cols / weights::task_rows) * weights::task_rows;
    }
};
template <Dims D, class P>
StreamExtents stream_extents() {
    constexpr TextDims d = D::text;
    StreamExtents e{.layer_weights = std::int64_t{d.hidden} * (2 * d.q_dim() + 2 * d.kv_dim() + 3 * d.ffn),
                    .panel_rows = weights::panel_rows<typename P::Arch>,
                    .window_layers = window_layers<D, P>,
                    .runs = {}};
    for (int i = 0; i < d.layers; ++i) e.runs.push_back(P::Text::Depth::runs(i, d.layers));
    return e;
}

/// The streamed weights in parts, each of which is used as a whole. A part is a stage of the manifest, except that the
/// head is cut into blocks of rows, each about as large as a layer. A part is a run of the packed file. All are
/// numbered; those that are not streamed have no bytes.
struct StreamPlan {
    struct Piece {
        std::size_t matrix = 0;  ///< index in the packed file of the matrix it begins in
        std::int64_t begin = 0;  ///< byte offset in that matrix
        std::int64_t bytes = 0;  ///< 0: not streamed
        int slot = -1;           ///< slot of the window that it is read into; -1: never used
        int next = -1;           ///< the part that is likely to be used after it
    };
    std::vector<Piece> pieces;
    int head_stage = 0;              ///< the part that is the first block of the head
    std::int64_t largest = 0;        ///< bytes of the largest part
    std::int64_t largest_panel = 0;  ///< bytes of the largest panel, the least that is read of a matrix

    int head_block(std::int64_t i) const { return head_stage + static_cast<int>(i); }

    /// Bytes of a slot, and of the buffer for one panel: in whole pages, and one more for a run that begins inside a
    /// page.
    std::int64_t slot_bytes() const { return whole_pages(largest); }
    std::int64_t panel_bytes() const { return whole_pages(largest_panel); }
    static std::int64_t whole_pages(std::int64_t bytes) {
        return round_up(bytes, UncachedFile::alignment) + UncachedFile::alignment;
    }
};

template <class Team>
[[gnu::noinline]] StreamPlan stream_plan(const Manifest<Team>& manifest, const StreamExtents& e) {
    StreamPlan plan;
    plan.head_stage = manifest.head_stage();
    plan.pieces.resize(static_cast<std::size_t>(plan.head_stage));
    for (std::size_t i = 0; i < manifest.matrices.size(); ++i) {
        const auto& p = manifest.matrix(i);
        if (!p.format->streamed()) continue;
        plan.largest_panel = std::max(plan.largest_panel, p.format->bytes(std::min(p.rows(), e.panel_rows), p.cols()));
        if (p.stage == plan.head_stage) continue;
        auto& piece = plan.pieces[static_cast<std::size_t>(p.stage)];
        if (piece.bytes == 0) piece.matrix = i;
        piece.bytes += round_up(p.bytes(), 64);
    }
    if (const auto& head = manifest.matrix(manifest.head); head.format->streamed()) {
        const std::int64_t step = e.rows_at_once(head.cols());
        for (std::int64_t row = 0; row < head.rows(); row += step) {
            const std::int64_t count = std::min(step, head.rows() - row);
            plan.pieces.push_back(
                {manifest.head, head.format->bytes(row, head.cols()), head.format->bytes(count, head.cols())});
        }
    }
    // the order of use: a picture's, and the decoder's, which begins again with the next token
    std::vector<int> tower, text;
    for (int i = 0; i < static_cast<int>(plan.pieces.size()); ++i) {
        const int layer = i - manifest.tower_stages;
        const bool runs = layer < 0 || layer >= manifest.layers || e.runs[static_cast<std::size_t>(layer)];
        if (plan.pieces[static_cast<std::size_t>(i)].bytes > 0 && runs) (layer < 0 ? tower : text).push_back(i);
    }
    int rank = 0;
    for (const auto* order : {&tower, &text})
        for (std::size_t i = 0; i < order->size(); ++i) {
            auto& piece = plan.pieces[static_cast<std::size_t>((*order)[i])];
            piece.slot = rank++ % std::max(1, e.window_layers);
            piece.next = i + 1 < order->size() ? (*order)[i + 1] : text.empty() ? order->front() : text.front();
            plan.largest = std::max(plan.largest, piece.bytes);
        }
    return plan;
}

}  // namespace qwen3vl::detail
