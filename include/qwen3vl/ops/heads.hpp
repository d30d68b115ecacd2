#pragma once
#include <cmath>
#include <cstdint>
#include <qwen3vl/attention/head_blocks.hpp>
#include <qwen3vl/core/row_blocks.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/kernels/rows.hpp>
#include <span>

/// Queries, keys and values between their projections and attention, for decoder and tower alike.
namespace qwen3vl::inline QWEN3VL_ABI::ops {

/// Rows of projected heads, side by side, and how they are rotated.
template <class Space>
struct HeadRows {
    using Floats = BasicMatrix<const float, Space>;  ///< rows of float32 that are read
    Floats qkv = {};  ///< [rows, (heads + 2 kv_heads) * head_dim]; without keys and values where none are stored
    std::int64_t heads = 0, kv_heads = 0, head_dim = 0;  ///< query heads, heads of keys, width of each
    std::int64_t channels = 0;                           ///< head_dim, padded as caches store it
    Floats cosines = {}, sines = {};                     ///< [rows, head_dim / 2]
    const std::vector<float>* q_norm = {};               ///< [head_dim]; null or empty: none
    const std::vector<float>* k_norm = {};               ///< [head_dim]; null or empty: none
    double epsilon = 0;                                  ///< epsilon of q_norm and k_norm
    int layer = -1;                                      ///< decoder layer; -1: the tower's

    /// Query heads that share a key/value head.
    std::int64_t group() const { return heads / kv_heads; }
};

/// Consecutive rows of one sequence, or of one picture's frame pair, and where attention finds them.
template <class Cache, class Space>
struct HeadChunk {
    Cache* cache = nullptr;                             ///< cache of the layer
    std::int64_t row = 0;                               ///< the chunk is rows [row, row + count)
    std::int64_t count = 0;                             ///< rows
    std::int64_t first = 0;                             ///< index of token 0 among the cache's keys
    typename Space::template pointer<float> queries{};  ///< [kv_heads, tokens, group, channels], scaled, zero-padded
    std::int64_t tokens = 0;                            ///< tokens whose queries lie together, the chunk's among them
    std::int64_t token = 0;                             ///< index of row `row` among the `tokens`
};

/// The queries of a chunk for the CPU's attention, whose results go to its rows of `out`.
template <class Cache>
attention::Heads queries_of(const HeadRows<HostSpace>& rows, const HeadChunk<Cache, HostSpace>& c, Matrix out) {
    return {.queries = c.queries,
            .tokens = c.tokens,
            .kv_heads = rows.kv_heads,
            .group = rows.group(),
            .channels = rows.channels,
            .head_dim = rows.head_dim,
            .first = c.first,
            .keys = c.first + c.tokens,
            .out = out.row(c.row),
            .out_stride = out.stride};
}

/// Floats of scratch that operations need for each thread: a normed row of at most so many columns, or a key and a
/// value.
constexpr std::int64_t scratch_floats(std::int64_t columns, std::int64_t channels) {
    return std::max(round_up(columns, 16), 2 * channels);
}

/// Rows to a task at least.
inline constexpr std::int64_t least_rows = 4;

/// Order of the tokens of a chunk: as they come.
struct InSequence {
    /// The token itself.
    constexpr std::int64_t operator()(std::int64_t token) const { return token; }
};

/// Norms, rotates and scales (1 / sqrt(head_dim)) queries; norms and rotates keys and writes them to the caches with
/// their values, where the layer stores any. Token t of a chunk goes to place order(t). The chunks are all rows, in
/// order. `scratch` holds 2 * channels floats, `stride` apart, for each thread.
template <class Arch, class Norm, bool Stores, class Team, class Chunk, class Order = InSequence>
void rotate_and_store(Team& team, const HeadRows<HostSpace>& rows, std::span<const Chunk> chunks, float* scratch,
                      std::int64_t stride, const Order& order = {}) {
    const std::int64_t head_dim = rows.head_dim, channels = rows.channels, group = rows.group();
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
    const auto turn = [&](const float* in, [[maybe_unused]] const std::vector<float>* norm, std::int64_t row,
                          float* out) {
        if (norm && !norm->empty()) {
            Norm::template row<Arch>(in, norm->data(), nullptr, static_cast<float>(rows.epsilon), head_dim, out);
            in = out;
        }
        kernels::rotate_row<Arch>(in, rows.cosines.row(row), rows.sines.row(row), head_dim / 2, out);
    };
    execution::for_row_blocks(team, rows.qkv.rows, least_rows, [&](std::int64_t begin, std::int64_t end, int thread) {
        float *key = scratch + thread * stride, *value = key + channels;
        std::fill_n(key, 2 * channels, 0.0f);
        auto chunk = chunks.begin();
        for (std::int64_t r = begin, next; r < end; r = next) {
            while (r >= chunk->row + chunk->count) ++chunk;
            // a head's keys of a tile share cache lines
            next = std::min({end, chunk->row + chunk->count, r + kv_cache::tile_keys});
            const auto place = [&](std::int64_t i) { return order(chunk->token + i - chunk->row); };
            for (std::int64_t h = 0; h < rows.heads; ++h)
                for (std::int64_t i = r; i < next; ++i) {
                    float* q = chunk->queries + ((h / group * chunk->tokens + place(i)) * group + h % group) * channels;
                    turn(rows.qkv.row(i) + h * head_dim, rows.q_norm, i, q);
                    kernels::scale_row<Arch>(scale, head_dim, q);
                    std::fill(q + head_dim, q + channels, 0.0f);
                }
            if constexpr (Stores)
                for (std::int64_t h = 0; h < rows.kv_heads; ++h)
                    for (std::int64_t i = r; i < next; ++i) {
                        const float* in = rows.qkv.row(i) + (rows.heads + h) * head_dim;
                        turn(in, rows.k_norm, i, key);
                        std::copy_n(in + rows.kv_heads * head_dim, head_dim, value);
                        chunk->cache->template write<Arch>(h, chunk->first + place(i), key, value);
                    }
        }
    });
}

}  // namespace qwen3vl::ops
