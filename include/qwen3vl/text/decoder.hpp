#pragma once
#include <array>
#include <qwen3vl/attention/mask_state.hpp>
#include <qwen3vl/core/activations.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/pass.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/ops/heads.hpp>
#include <qwen3vl/text/parameters.hpp>
#include <qwen3vl/weights/matrix.hpp>
#include <span>

/// One decoder layer over rows of one or more sequences, composed of the slots' policies (`Qwen3VLTextDecoderLayer`,
/// modeling_qwen3_vl.py), in the operations of an execution (ops/cpu.hpp).
namespace qwen3vl::inline QWEN3VL_ABI::text {

/// Floats of scratch that operations need for each thread: a normed row, or a key and a value.
constexpr std::int64_t row_floats(const TextDims& d) {
    return ops::scratch_floats(d.hidden, kv_cache::padded_channels(d.head_dim));
}

/// Tag of a layer that writes keys and values of its own; SharedKeys: of one that reads those of an earlier layer.
struct OwnKeys {
    static constexpr bool stores = true;  ///< writes keys and values
};
/// Tag of a layer that reads the keys and values of an earlier one.
struct SharedKeys {
    static constexpr bool stores = false;  ///< writes none
};

/// The policies of a layer, so that bundles with the same ones share its code. Weights is a plain weight format.
template <class TheNorm, class TheActivation, class TheWeights, class TheFfn, class TheAttention, class TheCache,
          class TheKeys = OwnKeys>
struct Slots {
    using Norm = TheNorm;
    using Activation = TheActivation;
    using Weights = TheWeights;
    using Ffn = TheFfn;
    using Attention = TheAttention;
    using KvCache = TheCache;
    using Keys = TheKeys;
    using Cache = typename KvCache::Layer;  ///< caches of the layer, one for each chunk
    /// Answers attention's questions for visible keys.
    using Mask = typename attention::MaskState<typename Attention::mask>::type;
};

/// Consecutive rows of one sequence, and what the layer keeps of it. The rows follow `first` tokens that the cache
/// holds.
template <class Cache, class Mask, class Space = HostSpace>
struct LayerChunk : ops::HeadChunk<Cache, Space> {
    Mask* mask = nullptr;  ///< of the sequence in this layer
    /// Rows [first_row, first_row + rows) behind `before` tokens of the cache, with their place among the queries.
    LayerChunk(Cache& of_layer, Mask& of_mask, const TextDims& d, const Activations<Space>& b, std::int64_t first_row,
               std::int64_t rows, std::int64_t before)
        : ops::HeadChunk<Cache, Space>{.cache = &of_layer,
                                       .row = first_row,
                                       .count = rows,
                                       .first = before,
                                       .queries =
                                           b.queries + first_row * d.heads * kv_cache::padded_channels(d.head_dim),
                                       .tokens = rows},
          mask(&of_mask) {}
};
/// Chunks of a pass through a layer of these policies.
template <class S, class Space = HostSpace>
using ChunksOf = std::span<const LayerChunk<typename S::Cache, typename S::Mask, Space>>;

/// Arguments of a feed-forward policy that keeps a state, beside the rows.
template <class S>
struct FfnRows {
    /// The pass's rows by sequence, with the policy's states.
    std::span<const SequenceRows<state_of<typename S::Ffn>>> sequences = {};
    int layer = 0;  ///< decoder layer
};

namespace detail {
/// Heads of the first rows of b.qkv, whose first column is that of the first query, if there are any.
template <class Space, class Layer>
ops::HeadRows<Space> heads_of(const TextDims& d, const Layer& w, const Activations<Space>& b,
                              const BasicMatrix<float, Space>& qkv, int heads, int layer) {
    return {.qkv = qkv,
            .heads = heads,
            .kv_heads = d.kv_heads,
            .head_dim = d.head_dim,
            .channels = kv_cache::padded_channels(d.head_dim),
            .cosines = b.cosines,
            .sines = b.sines,
            .q_norm = &w.q_norm,
            .k_norm = &w.k_norm,
            .epsilon = d.norm_eps,
            .layer = layer};
}
}  // namespace detail

/// Keys and values of rows [0, rows) of b.x to the caches, and nothing else of a layer. decoder_layer() with SharedKeys
/// over some of the rows may follow. Throws as decoder_layer().
template <class S, class Ops, class Layer>
void store_keys(const Ops& ops, const TextDims& d, const Layer& w, const Activations<typename Ops::Space>& b,
                ChunksOf<S, typename Ops::Space> chunks, std::int64_t rows, int layer = 0) {
    using Format = typename S::Weights;
    using Norm = typename S::Norm;
    const weights::BasicPackedActivations<typename Ops::Space> normed{b.input, rows, d.hidden};
    const BasicMatrix<float, typename Ops::Space> keys(b.qkv.data + d.q_dim(), rows, 2 * d.kv_dim(), b.qkv.stride);
    ops.template prefetch<Format>(std::array{&w.k, &w.v});
    ops.template normalise<Norm, Format>(b.x.first(rows), w.input_norm, d.norm_eps, normed);
    ops.template project<Format>(normed, std::array{&w.k, &w.v}, keys);
    for (const auto& c : chunks) kv_cache::reserve_tokens(*c.cache, c.first, c.count);
    ops.template rotate_and_store<Norm, true>(detail::heads_of(d, w, b, keys, 0, layer), chunks);
}

/// Runs rows [0, rows) of b.x through one layer; the chunks are those rows, in order. A layer that stores no keys finds
/// those of the rows too. Throws what the caches throw; they then still hold the tokens before the chunks.
template <class S, class Ops, class Layer>
void decoder_layer(const Ops& ops, const TextDims& d, const Layer& w, const Activations<typename Ops::Space>& b,
                   ChunksOf<S, typename Ops::Space> chunks, std::int64_t rows, const FfnRows<S>& of_ffn = {}) {
    using Format = typename S::Weights;
    using Norm = typename S::Norm;
    const auto x = b.x.first(rows), qkv = b.qkv.first(rows), attended = b.attended.first(rows);
    using Packed = weights::BasicPackedActivations<typename Ops::Space>;
    const Packed normed{b.input, rows, d.hidden}, mixed{b.input, rows, d.q_dim()}, inner{b.inner, rows, d.ffn};
    const auto projections = [&] {
        if constexpr (S::Keys::stores)
            return std::array{&w.q, &w.k, &w.v};
        else
            return std::array{&w.q};
    }();
    ops.template prefetch<Format>(projections);
    ops.template normalise<Norm, Format>(x, w.input_norm, d.norm_eps, normed);
    ops.template prefetch<Format>(w.o, rows);
    ops.template project<Format>(normed, projections, qkv);
    if constexpr (S::Keys::stores)
        for (const auto& c : chunks) kv_cache::reserve_tokens(*c.cache, c.first, c.count);
    const auto heads = detail::heads_of(d, w, b, qkv, d.heads, of_ffn.layer);
    ops.template rotate_and_store<Norm, S::Keys::stores>(heads, chunks);
    ops.template attend<typename S::Attention>(heads, chunks, attended, b.scratch);
    ops.template pack<Format>(attended, mixed);
    if constexpr (requires { S::Ffn::first(w.ffn); }) ops.template prefetch<Format>(S::Ffn::first(w.ffn));
    ops.template add<Format>(mixed, w.o, nullptr, x);
    ops.template normalise<Norm, Format>(x, w.post_norm, d.norm_eps, normed);
    if constexpr (KeepsState<typename S::Ffn>) {
        const Pass<Ops, std::remove_cvref_t<decltype(w.ffn)>, state_of<typename S::Ffn>> pass{
            ops, {d, {}}, w.ffn, of_ffn.sequences, x, b};
        S::Ffn::template add<Format, typename S::Activation>(pass, of_ffn.layer, normed, inner);
    } else {
        S::Ffn::template add<Format, typename S::Activation>(ops, w.ffn, normed, inner, x);
    }
}

}  // namespace qwen3vl::text
