#pragma once
#include <algorithm>
#include <bit>
#include <qwen3vl/attention/partial.hpp>
#include <qwen3vl/attention/row_groups.hpp>
#include <qwen3vl/concepts/concepts.hpp>
#include <type_traits>

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
/// Whether what gives the tiles asks for a query too: blocks of queries then lie within a tile.
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
/// How the tokens of a chunk are cut into blocks: [begin(i), begin(i + 1)) for i of count.
struct Cut {
    std::int64_t tokens, step, before = 0;  ///< before: tokens between a multiple of step and the chunk
    std::int64_t count() const { return ceil_div(before + tokens, step); }
    std::int64_t begin(std::int64_t i) const { return std::clamp<std::int64_t>(i * step - before, 0, tokens); }
};
template <class Tile>
Cut cut(const Heads& h, int threads) {
    const std::int64_t step = block_tokens(h, threads);
    if constexpr (!by_query<Tile>) return {h.tokens, step};
    const std::int64_t within = std::min<std::int64_t>(kv_cache::tile_keys, static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(step))));
    return {h.tokens, within, h.first % within};
}

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

/// Floats that a mask's choice for one block takes.
template <class Mask>
std::int64_t choice_floats(std::int64_t group, std::int64_t channels, std::int64_t keys) {
    if constexpr (concepts::StatefulMask<Mask>)
        return round_up(Mask::State::scratch_floats(block_tokens(group), channels, keys), 16);
    else
        return 0;
}
/// What the queries of a block see.
template <class Arch, class State>
auto visible_to(const QueryBlock& q, std::int64_t head, const State& state, [[maybe_unused]] float* scratch) {
    if constexpr (concepts::Visibility<State>)
        return state;
    else
        return state.template select<Arch>(head, q, scratch);
}

/// One token: a task for each key/value head and segment of keys; then the segments of a head are joined in ascending order. Nothing is done where no head
/// has several segments.
template <class Arch, class Attention, class Team, class Tile, class State>
bool attend_split(Team& team, const Heads& h, const Tile& tile, const State& state, float* scratch) {
    using Visible = decltype(visible_to<Arch>(h.block(0, 0, 1), 0, state, scratch));
    const std::int64_t each = thread_floats<Attention>(h.group, h.channels, h.keys), part = partial_floats(h.group, h.channels);
    const std::int64_t choice = choice_floats<typename Attention::mask>(h.group, h.channels, h.keys);
    float *choices = scratch + team.threads() * each, *parts = choices + h.kv_heads * choice;
    if constexpr (!concepts::Visibility<State>)
        team.run(h.kv_heads, [&](std::int64_t head, int) { visible_to<Arch>(h.block(head, 0, 1), head, state, choices + head * choice); });
    const auto visible = [&](std::int64_t head) {
        if constexpr (concepts::Visibility<State>)
            return state;
        else
            return state.chosen(h.block(head, 0, 1), choices + head * choice);
    };
    const auto segments = [&](std::int64_t head, const Visible& v) { return Segments(h.block(head, 0, 1), v, Attention::segment_keys); };
    std::int64_t tasks = 0;
    for (std::int64_t head = 0; head < h.kv_heads; ++head) {
        const Visible v = visible(head);
        tasks += segments(head, v).count();
    }
    if (tasks == h.kv_heads) return false;
    team.run(tasks, [&](std::int64_t task, int thread) {
        std::int64_t head = 0, segment = task;
        for (;; ++head) {
            const Visible v = visible(head);
            const auto of_head = segments(head, v);
            if (segment >= of_head.count()) {
                segment -= of_head.count();
                continue;
            }
            return Attention::template attend_segment<Arch>(h.block(head, 0, 1), v, tiles_for(tile, head, h.first), of_head[segment],
                                                            Partial::in(parts + task * part, h.group, h.channels), scratch + thread * each);
        }
    });
    std::int64_t task = 0;
    for (std::int64_t head = 0; head < h.kv_heads; ++head) {
        const Partial whole{scratch, scratch + h.group * h.channels, scratch + h.group * (h.channels + 1)};
        whole.clear(h.group, h.channels);
        const Visible v = visible(head);
        for (std::int64_t end = task + segments(head, v).count(); task < end; ++task)
            merge<Arch>(h.group, h.channels, Partial::in(parts + task * part, h.group, h.channels), whole);
        finish<Arch>(h.group, h.channels, whole);
        h.place(head, 0, h.group, whole.out);
    }
    return true;
}
}  // namespace detail

/// Floats of scratch for queries over at most `keys` keys, on so many threads: a part for each, and for one token the choices of its heads and the results by
/// segment of keys.
template <class Attention>
std::int64_t scratch_floats(int threads, std::int64_t kv_heads, std::int64_t group, std::int64_t channels, std::int64_t keys) {
    using Mask = typename Attention::mask;
    std::int64_t floats = threads * (detail::thread_floats<Attention>(group, channels, keys) + detail::choice_floats<Mask>(group, channels, keys));
    if constexpr (detail::Splits<Attention>)
        floats +=
            kv_heads * (detail::choice_floats<Mask>(group, channels, keys) + ceil_div(keys, Attention::segment_keys) * detail::partial_floats(group, channels));
    return floats;
}

/// One task for each key/value head and block of queries; a single token is split over its keys where the algorithm can. `tile` gives the keys, as
/// kv_cache::tiles_of. `scratch` holds scratch_floats() for the team's threads. `state`: the mask itself, or its state where it has one.
template <class Arch, class Attention, class Team, class Tile, class State = typename Attention::mask>
void attend(Team& team, const Heads& h, const Tile& tile, float* scratch, const State& state = {}) {
    if constexpr (detail::Splits<Attention>)
        if (h.tokens == 1 && detail::attend_split<Arch, Attention>(team, h, tile, state, scratch)) return;
    const detail::Cut cut = detail::cut<Tile>(h, team.threads());
    const std::int64_t blocks = cut.count(), own = detail::thread_floats<Attention>(h.group, h.channels, h.keys);
    const std::int64_t each = own + detail::choice_floats<typename Attention::mask>(h.group, h.channels, h.keys);
    team.run(h.kv_heads * blocks, [&](std::int64_t task, int thread) {
        const std::int64_t head = task / blocks, token = cut.begin(task % blocks);
        const QueryBlock q = h.block(head, token, cut.begin(task % blocks + 1) - token);
        float* out = scratch + thread * each;
        const auto visible = detail::visible_to<Arch>(q, head, state, out + own);
        Attention::template attend<Arch>(q, visible, detail::tiles_for(tile, head, q.first), out, out + detail::result_floats(h.group, h.channels));
        h.place(head, token, q.rows, out);
    });
}

}  // namespace qwen3vl::attention
