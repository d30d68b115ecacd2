#pragma once
#include <algorithm>
#include <qwen3vl/attention/partial.hpp>
#include <qwen3vl/attention/row_groups.hpp>

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

    QueryBlock block(std::int64_t head, std::int64_t token, std::int64_t count) const {
        return {queries + (head * tokens + token) * group * channels, count * group, channels, group, first + token, keys};
    }
    /// Puts a block's result [rows, channels] in its place.
    void place(std::int64_t head, std::int64_t token, std::int64_t rows, const float* result) const {
        for (std::int64_t r = 0; r < rows; ++r)
            std::copy_n(result + r * channels, head_dim, out + (token + r / group) * out_stride + (head * group + r % group) * head_dim);
    }
};

/// Tokens to a block: as many as fill it with the heads of a group.
constexpr std::int64_t block_tokens(std::int64_t group) { return std::max<std::int64_t>(1, block_rows / group); }
/// Fewer where the threads would not get several blocks each. No result depends on it.
inline std::int64_t block_tokens(const Heads& h, int threads) {
    std::int64_t tokens = block_tokens(h.group);
    while (tokens * h.group > block_rows / 4 && tokens > 1 && h.kv_heads * ceil_div(h.tokens, tokens) < 8 * threads) tokens = ceil_div(tokens, 2);
    return tokens;
}

namespace detail {
/// Algorithms whose keys can be taken in segments by different threads.
template <class Attention>
concept Splits = requires {
    Attention::segment_keys;
};

/// A block's result, and the algorithm's own scratch behind it.
inline std::int64_t result_floats(std::int64_t group, std::int64_t channels) { return round_up(padded_rows(block_tokens(group) * group) * channels, 16); }
template <class Attention>
std::int64_t thread_floats(std::int64_t group, std::int64_t channels, std::int64_t keys) {
    return result_floats(group, channels) + round_up(Attention::scratch_floats(block_tokens(group) * group, channels, keys), 16);
}
/// Of one token's heads over one segment.
inline std::int64_t partial_floats(std::int64_t group, std::int64_t channels) { return round_up(Partial::floats(group, channels), 16); }

/// One token: a task for each key/value head and segment of keys; then the segments of a head are joined in ascending order.
template <class Arch, class Attention, class Team, class Tile>
void attend_split(Team& team, const Heads& h, const typename Attention::mask& visible, const Tile& tile, const Segments<typename Attention::mask>& segments,
                  float* scratch) {
    const std::int64_t each = thread_floats<Attention>(h.group, h.channels, h.keys), part = partial_floats(h.group, h.channels);
    float* parts = scratch + team.threads() * each;
    const auto partial = [&](std::int64_t head, std::int64_t segment) {
        return Partial::in(parts + (head * segments.count() + segment) * part, h.group, h.channels);
    };
    team.run(h.kv_heads * segments.count(), [&](std::int64_t task, int thread) {
        const std::int64_t head = task / segments.count(), segment = task % segments.count();
        Attention::template attend_segment<Arch>(
            h.block(head, 0, 1), visible, [&](std::int64_t index) { return tile(head, index); }, segments[segment], partial(head, segment),
            scratch + thread * each);
    });
    for (std::int64_t head = 0; head < h.kv_heads; ++head) {
        const Partial whole{scratch, scratch + h.group * h.channels, scratch + h.group * (h.channels + 1)};
        whole.clear(h.group, h.channels);
        for (std::int64_t s = 0; s < segments.count(); ++s) merge<Arch>(h.group, h.channels, partial(head, s), whole);
        finish<Arch>(h.group, h.channels, whole);
        h.place(head, 0, h.group, whole.out);
    }
}
}  // namespace detail

/// Floats of scratch for queries over at most `keys` keys, on so many threads: a part for each, and one token's results by segment of keys.
template <class Attention>
std::int64_t scratch_floats(int threads, std::int64_t kv_heads, std::int64_t group, std::int64_t channels, std::int64_t keys) {
    std::int64_t floats = threads * detail::thread_floats<Attention>(group, channels, keys);
    if constexpr (detail::Splits<Attention>) floats += kv_heads * ceil_div(keys, Attention::segment_keys) * detail::partial_floats(group, channels);
    return floats;
}

/// One task for each key/value head and block of queries; a single token is split over its keys where the algorithm can. `tile(kv_head, index)` gives
/// the keys. `scratch` holds scratch_floats() for the team's threads.
template <class Arch, class Attention, class Team, class Tile>
void attend(Team& team, const Heads& h, const Tile& tile, float* scratch) {
    constexpr typename Attention::mask visible{};
    if constexpr (detail::Splits<Attention>)
        if (h.tokens == 1)
            if (const Segments segments(h.block(0, 0, 1), visible, Attention::segment_keys); segments.count() > 1)
                return detail::attend_split<Arch, Attention>(team, h, visible, tile, segments, scratch);
    const std::int64_t step = block_tokens(h, team.threads()), blocks = ceil_div(h.tokens, step);
    const std::int64_t each = detail::thread_floats<Attention>(h.group, h.channels, h.keys);
    team.run(h.kv_heads * blocks, [&](std::int64_t task, int thread) {
        const std::int64_t head = task / blocks, token = task % blocks * step;
        const QueryBlock q = h.block(head, token, std::min(step, h.tokens - token));
        float* out = scratch + thread * each;
        Attention::template attend<Arch>(
            q, visible, [&](std::int64_t index) { return tile(head, index); }, out, out + detail::result_floats(h.group, h.channels));
        h.place(head, token, q.rows, out);
    });
}

}  // namespace qwen3vl::attention
