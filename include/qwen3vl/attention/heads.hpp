#pragma once
#include <algorithm>
#include <qwen3vl/attention/query_block.hpp>
#include <qwen3vl/core/checked.hpp>

/// Runs an attention algorithm over all heads and blocks of queries.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Queries of all heads and where their results go.
struct Heads {
    const float* queries = nullptr;  ///< [kv_heads, tokens, group, channels], scaled, zero-padded
    std::int64_t tokens = 0, kv_heads = 0, group = 1, channels = 0, head_dim = 0;
    std::int64_t first = 0;  ///< sequence index of token 0
    std::int64_t keys = 0;
    float* out = nullptr;  ///< [tokens, out_stride], head h at column h * head_dim
    std::int64_t out_stride = 0;
};

/// Tokens to a block: as many as fill it with the heads of a group.
constexpr std::int64_t block_tokens(std::int64_t group) { return std::max<std::int64_t>(1, block_rows / group); }

/// Floats of scratch that each thread needs for queries over at most `keys` keys.
template <class Attention>
std::int64_t scratch_floats(std::int64_t group, std::int64_t channels, std::int64_t keys) {
    const std::int64_t rows = block_tokens(group) * group;
    return round_up(rows * channels, 16) + round_up(Attention::scratch_floats(rows, keys), 16);
}

/// One task for each key/value head and block of queries; `tile(kv_head, index)` gives the keys. `scratch` holds scratch_floats() for each thread.
template <class Arch, class Attention, class Team, class Tile>
void attend(Team& team, const Heads& h, const Tile& tile, float* scratch) {
    const std::int64_t step = block_tokens(h.group), blocks = ceil_div(h.tokens, step);
    const std::int64_t each = scratch_floats<Attention>(h.group, h.channels, h.keys);
    team.run(h.kv_heads * blocks, [&](std::int64_t task, int thread) {
        const std::int64_t head = task / blocks, token = task % blocks * step, tokens = std::min(step, h.tokens - token);
        const QueryBlock q{h.queries + (head * h.tokens + token) * h.group * h.channels, tokens * h.group, h.channels, h.group, h.first + token, h.keys};
        float* out = scratch + thread * each;
        Attention::template attend<Arch>(
            q, [&](std::int64_t index) { return tile(head, index); }, out, out + round_up(step * h.group * h.channels, 16));
        for (std::int64_t r = 0; r < q.rows; ++r)
            std::copy_n(out + r * h.channels, h.head_dim, h.out + (token + r / h.group) * h.out_stride + (head * h.group + r % h.group) * h.head_dim);
    });
}

}  // namespace qwen3vl::attention
