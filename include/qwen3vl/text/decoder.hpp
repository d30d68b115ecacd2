#pragma once
#include <array>
#include <cmath>
#include <qwen3vl/attention/layer.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/norm/rows.hpp>
#include <qwen3vl/text/parameters.hpp>
#include <qwen3vl/weights/linear.hpp>

/// One decoder layer over a chunk of tokens, composed of the slots' policies (`Qwen3VLTextDecoderLayer`, modeling_qwen3_vl.py).
namespace qwen3vl::inline QWEN3VL_ABI::text {

/// A chunk's activations. All pointers into memory that the session planned; rows for at most the session's chunk.
struct Buffers {
    Matrix x;               ///< [tokens, hidden] the residual stream
    std::byte* input;       ///< tokens rows of hidden or q_dim columns, as the layer's weights read them
    std::byte* inner;       ///< tokens rows of ffn columns, likewise
    Matrix qkv;             ///< [tokens, q_dim + 2 kv_dim]
    float* queries;         ///< [kv_heads, tokens, group, channels] rotated, scaled, padded
    Matrix attended;        ///< [tokens, q_dim]
    Matrix cosines, sines;  ///< [tokens, head_dim / 2]
    float* scratch;         ///< for attention, each thread's part
    float* rows;            ///< [threads, row_floats(d)] a normed row; a key and a value on their way to the cache
};

/// Floats that each thread needs for rows on their way.
constexpr std::int64_t row_floats(const TextDims& d) { return std::max(round_up(d.hidden, 16), 2 * kv_cache::padded_channels(d.head_dim)); }

/// Queries to b.queries, keys and values to the cache, if the layer `Stores` any: q/k norm, rotation, scale 1 / sqrt(head_dim).
template <class Arch, class Norm, bool Stores, class Layer, class Cache, class Team>
void rotate_and_store(Team& team, const TextDims& d, const Layer& w, const Buffers& b, Cache& cache, std::int64_t tokens, std::int64_t first) {
    const std::int64_t channels = kv_cache::padded_channels(d.head_dim), half = d.head_dim / 2;
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d.head_dim))), epsilon = static_cast<float>(d.norm_eps);
    const auto turn = [&](const float* in, const std::vector<float>& norm, std::int64_t token, float* out) {
        if (!norm.empty()) {
            Norm::template row<Arch>(in, norm.data(), nullptr, epsilon, d.head_dim, out);
            in = out;
        }
        kernels::rotate_row<Arch>(in, b.cosines.row(token), b.sines.row(token), half, out);
    };
    execution::for_row_blocks(team, tokens, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
        float* key = b.rows + thread * row_floats(d);
        float* value = key + channels;
        for (std::int64_t t = begin; t < end; ++t) {
            const float* row = b.qkv.row(t);
            for (std::int64_t h = 0; h < d.heads; ++h) {
                float* q = b.queries + ((h / d.group() * tokens + t) * d.group() + h % d.group()) * channels;
                turn(row + h * d.head_dim, w.q_norm, t, q);
                kernels::scale_row<Arch>(scale, d.head_dim, q);
                std::fill(q + d.head_dim, q + channels, 0.0f);
            }
            if constexpr (!Stores) continue;
            for (std::int64_t h = 0; h < d.kv_heads; ++h) {
                turn(row + d.q_dim() + h * d.head_dim, w.k_norm, t, key);
                std::copy_n(row + d.q_dim() + d.kv_dim() + h * d.head_dim, d.head_dim, value);
                cache.template write<Arch>(h, first + t, key, value);
            }
        }
    });
}

/// b.x [tokens, hidden] through one layer. The tokens follow `first` tokens that the cache holds already. A layer that `Stores` no keys finds those of the
/// tokens too. Throws what the cache throws; it then holds the tokens before `first` still.
template <class Arch, class Norm, class Activation, class Format, class Ffn, class Attention, bool Stores = true, class Layer, class Cache, class Team>
void decoder_layer(Team& team, const TextDims& d, const Layer& w, const Buffers& b, Cache& cache,
                   typename attention::MaskState<typename Attention::mask>::type& mask, std::int64_t tokens, std::int64_t first) {
    const Matrix x = b.x.first(tokens), qkv = b.qkv.first(tokens), attended = b.attended.first(tokens);
    const weights::Input normed{b.input, tokens, d.hidden}, mixed{b.input, tokens, d.q_dim()}, inner{b.inner, tokens, d.ffn};
    const auto normalise = [&](const NormParameters<std::vector<float>>& norm) {
        norm::normalise<Arch, Norm>(team, x, norm, d.norm_eps, b.rows, [&](std::int64_t row, const float* values) {
            weights::traits<Format>::template encode<Arch>(normed, row, 0, d.hidden, values);
        });
    };
    const auto projections = [&] {
        if constexpr (Stores)
            return std::array{&w.q, &w.k, &w.v};
        else
            return std::array{&w.q};
    }();
    weights::announce<Arch, Format>(team, projections);
    normalise(w.input_norm);
    weights::announce<Arch, Format>(team, std::array{&w.o}, weights::free_height<Arch>(tokens, w.o));
    const std::array<std::int64_t, 3> at = {0, d.q_dim(), d.q_dim() + d.kv_dim()};
    weights::linear<Arch, Format>(team, normed, projections, [&](int which, std::int64_t row, std::int64_t column, std::int64_t count, const float* values) {
        std::copy_n(values, count, qkv.row(row) + at[static_cast<std::size_t>(which)] + column);
    });
    if constexpr (Stores) kv_cache::make_room(cache, first, tokens);
    rotate_and_store<Arch, Norm, Stores>(team, d, w, b, cache, tokens, first);
    const attention::Heads heads{b.queries,  tokens, d.kv_heads,     d.group(),     kv_cache::padded_channels(d.head_dim),
                                 d.head_dim, first,  first + tokens, attended.data, attended.stride};
    attention::attend_layer<Arch, Attention>(team, heads, cache, mask, b.scratch);
    weights::encode_rows<Arch, Format>(team, attended, mixed);
    weights::announce<Arch, Format>(team, std::array{&w.gate});
    weights::linear_add<Arch, Format>(team, mixed, w.o, nullptr, x);
    normalise(w.post_norm);
    Ffn::template add<Arch, Format, Activation>(team, w, normed, inner, x);
}

}  // namespace qwen3vl::text
