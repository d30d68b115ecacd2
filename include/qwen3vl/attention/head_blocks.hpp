#pragma once
#include <algorithm>
#include <bit>
#include <qwen3vl/attention/partial.hpp>
#include <qwen3vl/attention/row_groups.hpp>
#include <qwen3vl/concepts/concepts.hpp>
#include <type_traits>

/// Partition of the queries of all heads into blocks, the tasks of attention.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Queries of all heads and the place of their results.
struct Heads {
    const float* queries = nullptr;  ///< [kv_heads, tokens, group, channels], scaled, zero-padded
    /// Queries, heads of keys, query heads to each, padded and real width of a head.
    std::int64_t tokens = 0, kv_heads = 0, group = 1, channels = 0, head_dim = 0;
    std::int64_t first = 0;       ///< sequence index of token 0
    std::int64_t keys = 0;        ///< stored so far, those of these tokens included
    float* out = nullptr;         ///< [tokens, out_stride], head h at column h * head_dim
    std::int64_t out_stride = 0;  ///< floats from one token's results to the next one's
    std::int64_t chunk = 0;       ///< tokens whose queries lie between one head's and the next one's; 0: `tokens`

    /// Queries of `count` tokens from `token` on that share key/value head `head`.
    QueryBlock block(std::int64_t head, std::int64_t token, std::int64_t count) const {
        return {queries + (head * (chunk > 0 ? chunk : tokens) + token) * group * channels,
                count * group,
                channels,
                group,
                first + token,
                keys};
    }
    /// Part of the tokens, [token, token + count), as if the first of them had sequence index `index` among `among`
    /// keys.
    Heads part(std::int64_t token, std::int64_t count, std::int64_t index, std::int64_t among) const {
        return {queries + token * group * channels,
                count,
                kv_heads,
                group,
                channels,
                head_dim,
                index,
                among,
                out + token * out_stride,
                out_stride,
                chunk > 0 ? chunk : tokens};
    }
    /// Puts a block's result [rows, channels] in its place.
    void place(std::int64_t head, std::int64_t token, std::int64_t rows, const float* result) const {
        for (std::int64_t r = 0; r < rows; ++r)
            std::copy_n(result + r * channels, head_dim,
                        out + (token + r / group) * out_stride + (head * group + r % group) * head_dim);
    }
};

/// Algorithms whose keys can be taken in segments by different threads.
template <class Attention>
concept Splits = requires {
    Attention::segment_keys;
};

/// Tokens to a block: as many as fill it with the heads of a group.
constexpr std::int64_t block_tokens(std::int64_t group) { return std::max<std::int64_t>(1, block_rows / group); }
/// Fewer where the threads would not get several blocks each. No result depends on it.
inline std::int64_t block_tokens(const Heads& h, int threads) {
    std::int64_t tokens = block_tokens(h.group);
    while (tokens * h.group > block_rows / 4 && tokens > 1 && h.kv_heads * ceil_div(h.tokens, tokens) < 8 * threads)
        tokens = ceil_div(tokens, 2);
    return tokens;
}

namespace detail {
/// True if the tile source depends on the query: blocks of queries then lie within a tile.
template <class Tile>
inline constexpr bool by_query = std::is_invocable_v<const Tile&, std::int64_t, std::int64_t, std::int64_t>;
/// The tiles of a head as one of its queries sees them.
template <class Tile>
auto tiles_for(const Tile& tile, std::int64_t head, [[maybe_unused]] std::int64_t query) {
    if constexpr (by_query<Tile>)
        return [&tile, head, query](std::int64_t index) { return tile(head, index, query); };
    else
        return [&tile, head](std::int64_t index) { return tile(head, index); };
}
/// Partition of the tokens of a chunk into blocks: [begin(i), begin(i + 1)) for i of count().
struct Cut {
    std::int64_t tokens, step, before = 0;  ///< before: tokens between a multiple of step and the chunk
    std::int64_t count() const { return ceil_div(before + tokens, step); }
    std::int64_t begin(std::int64_t i) const { return std::clamp<std::int64_t>(i * step - before, 0, tokens); }
};
template <class Tile>
Cut cut(const Heads& h, int threads) {
    const std::int64_t step = block_tokens(h, threads);
    if constexpr (!by_query<Tile>) return {h.tokens, step};
    const std::int64_t within = std::min<std::int64_t>(
        kv_cache::tile_keys, static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(step))));
    return {h.tokens, within, h.first % within};
}

/// Floats of a block's result, behind which the algorithm's own scratch lies.
inline std::int64_t result_floats(std::int64_t group, std::int64_t channels) {
    return round_up(padded_rows(block_tokens(group) * group) * channels, 16);
}
template <class Attention>
std::int64_t thread_floats(std::int64_t group, std::int64_t channels, std::int64_t keys) {
    return result_floats(group, channels) +
           round_up(Attention::scratch_floats(block_tokens(group) * group, channels, keys), 16);
}
/// Floats of the Partial of one token's heads over one segment.
inline std::int64_t partial_floats(std::int64_t group, std::int64_t channels) {
    return round_up(Partial::floats(group, channels), 16);
}

/// Floats that a mask's choice for one block takes.
template <class Mask>
std::int64_t choice_floats(std::int64_t group, std::int64_t channels, std::int64_t keys) {
    if constexpr (concepts::StatefulMask<Mask>)
        return round_up(Mask::State::scratch_floats(block_tokens(group), channels, keys), 16);
    else
        return 0;
}
/// Visibility of the keys to the queries of a block: the mask itself, or the choice that its state makes in `scratch`.
template <class Arch, class State>
auto visible_to(const QueryBlock& q, std::int64_t head, const State& state, [[maybe_unused]] float* scratch) {
    if constexpr (concepts::Visibility<State>)
        return state;
    else
        return state.template select<Arch>(head, q, scratch);
}
}  // namespace detail

}  // namespace qwen3vl::attention
