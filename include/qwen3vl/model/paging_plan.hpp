#pragma once
#include <algorithm>
#include <qwen3vl/core/uncached_file.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include <qwen3vl/weights/traits.hpp>
#include <vector>

/// Which weights are paged (weights::Paged), in which parts, and what memory that takes.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// f(type_tag<F>{}) with what the bundle's slot says of a part's weights: a format, or a paged one.
template <class P, class F>
void with_stored_format(const Part& part, F&& f) {
    if (part.kind == Part::vision)
        f(type_tag<typename P::Vision::Weights>{});
    else if (part.kind == Part::embedding)
        f(type_tag<typename P::Text::EmbeddingWeights>{});
    else
        with_layer_slots<P>(static_cast<std::size_t>(part.index), [&](auto index) { f(type_tag<typename LayerSlots<P, index()>::StoredWeights>{}); });
}

/// Layers in the window of a model: the most that one of its formats asks for; 0: nothing is paged.
template <Dims D, class P>
inline constexpr int window_layers = [] {
    int n = weights::paging<typename P::Text::EmbeddingWeights>::layers;
    for (std::size_t i = 0; i < layer_period<P>; ++i)
        with_layer_slots<P>(i, [&](auto index) { n = std::max(n, weights::paging<typename LayerSlots<P, index()>::StoredWeights>::layers); });
    if constexpr (VisionLanguageDims<D>) n = std::max(n, weights::paging<typename P::Vision::Weights>::layers);
    return n;
}();

/// The paged weights in parts, each of which is used as a whole: the stages of the tower, the layers of the decoder, and the head in blocks of rows, about as
/// large as a layer. A part is a run of the packed file. All are numbered, those that are not paged too, which have no bytes.
struct PagingPlan {
    struct Piece {
        std::size_t matrix = 0;  ///< of the packed file, that it begins in
        std::int64_t begin = 0;  ///< byte of that
        std::int64_t bytes = 0;  ///< 0: not paged
        int slot = -1;           ///< of the window, where it lies in memory; -1: never used
        int next = -1;           ///< the part that is likely to be used after it
    };
    std::vector<Piece> pieces;
    std::size_t embedding = 0, head = 0;  ///< matrices of the packed file
    int stages = 0, layers = 0;           ///< parts that the tower and the decoder have
    std::int64_t largest = 0;             ///< bytes of the largest part
    std::int64_t largest_panel = 0;       ///< and of the largest run that holds one row of a matrix

    int layer(int i) const { return stages + i; }
    int head_block(std::int64_t i) const { return stages + layers + static_cast<int>(i); }

    /// Bytes of a slot, and of room to read one panel, in whole pages with those that an end in the middle of one adds.
    std::int64_t slot_bytes() const { return room(largest); }
    std::int64_t panel_bytes() const { return room(largest_panel); }
    static std::int64_t room(std::int64_t bytes) { return round_up(bytes, UncachedFile::alignment) + UncachedFile::alignment; }
};

/// Rows of a matrix that are packed at once, and that make a block of the head: as many weights as a layer of the decoder has.
template <Dims D>
constexpr std::int64_t rows_at_once(std::int64_t cols) {
    constexpr TextDims d = D::text;
    constexpr std::int64_t layer = std::int64_t{d.hidden} * (2 * d.q_dim() + 2 * d.kv_dim() + 3 * d.ffn);
    return std::max<std::int64_t>(1, layer / cols / weights::task_rows) * weights::task_rows;
}

template <Dims D, class P>
[[gnu::noinline]] PagingPlan paging_plan() {
    using Arch = typename P::Arch;
    PagingPlan plan;
    if constexpr (VisionLanguageDims<D>) plan.stages = vision::stage_count(D::vision);
    plan.layers = D::text.layers;
    plan.pieces.resize(static_cast<std::size_t>(plan.stages + plan.layers));
    bool embedded = false;
    std::size_t index = 0;
    for_each_matrix<D>([&](const std::string&, std::int64_t rows, std::int64_t cols, const Part& part) {
        if (part.kind == Part::embedding) {
            plan.head = index;
            if (!embedded) plan.embedding = index;
            embedded = true;
        }
        with_stored_format<P>(part, [&]<class F>(type_tag<F>) {
            if constexpr (weights::is_paged<F>) {
                const auto bytes = [&](std::int64_t n) { return weights::traits<F>::template bytes<Arch>(n, cols); };
                plan.largest_panel = std::max(plan.largest_panel, bytes(std::min(rows, weights::panel_rows<Arch>)));
                if (part.kind == Part::embedding) return;
                auto& piece = plan.pieces[static_cast<std::size_t>(part.kind == Part::vision ? part.index : plan.layer(part.index))];
                if (piece.bytes == 0) piece.matrix = index;
                piece.bytes += round_up(bytes(rows), 64);
            }
        });
        ++index;
    });
    using Head = typename P::Text::EmbeddingWeights;
    if constexpr (weights::is_paged<Head>) {
        constexpr TextDims d = D::text;
        const auto bytes = [&](std::int64_t n) { return weights::traits<Head>::template bytes<Arch>(n, d.hidden); };
        const std::int64_t step = rows_at_once<D>(d.hidden);
        for (std::int64_t row = 0; row < d.vocab; row += step) {
            const std::int64_t count = std::min<std::int64_t>(step, d.vocab - row);
            plan.pieces.push_back({plan.head, bytes(row), bytes(count)});
        }
    }
    // the order of use: a picture's, and the decoder's, which begins again with the next token
    std::vector<int> tower, text;
    for (int i = 0; i < static_cast<int>(plan.pieces.size()); ++i) {
        const bool runs = i < plan.stages || i >= plan.stages + plan.layers || P::Text::Depth::runs(i - plan.stages, plan.layers);
        if (plan.pieces[static_cast<std::size_t>(i)].bytes > 0 && runs) (i < plan.stages ? tower : text).push_back(i);
    }
    int rank = 0;
    for (const auto* order : {&tower, &text})
        for (std::size_t i = 0; i < order->size(); ++i) {
            auto& piece = plan.pieces[static_cast<std::size_t>((*order)[i])];
            piece.slot = rank++ % std::max(1, window_layers<D, P>);
            piece.next = i + 1 < order->size() ? (*order)[i + 1] : text.empty() ? order->front() : text.front();
            plan.largest = std::max(plan.largest, piece.bytes);
        }
    return plan;
}

/// Bytes of memory that paged weights take, whatever they are in the file.
template <Dims D, class P>
std::int64_t window_bytes() {
    if constexpr (window_layers<D, P> == 0) return 0;
    const PagingPlan plan = paging_plan<D, P>();
    return window_layers<D, P> * plan.slot_bytes() + plan.panel_bytes();
}

}  // namespace qwen3vl::detail
