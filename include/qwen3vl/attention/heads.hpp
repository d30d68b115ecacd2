#pragma once
#include <qwen3vl/attention/head_blocks.hpp>
#include <qwen3vl/attention/stages.hpp>

/// Runs an attention algorithm over all heads and blocks of queries.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

namespace detail {
/// Runs one token: a task for each key/value head and segment of keys; then the segments of a head are joined in
/// ascending order. Does nothing where no head has several segments.
template <class Arch, class Attention, class Team, class Tile, class State>
bool attend_split(Team& team, const Heads& h, const Tile& tile, const State& state, float* scratch) {
    using Visible = decltype(visible_to<Arch>(h.block(0, 0, 1), 0, state, scratch));
    const std::int64_t each = thread_floats<Attention>(h.group, h.channels, h.keys),
                       part = partial_floats(h.group, h.channels);
    const std::int64_t choice = choice_floats<typename Attention::mask>(h.group, h.channels, h.keys);
    float *choices = scratch + team.threads() * each, *parts = choices + h.kv_heads * choice;
    if constexpr (!concepts::Visibility<State>)
        team.run(h.kv_heads, [&](std::int64_t head, int) {
            visible_to<Arch>(h.block(head, 0, 1), head, state, choices + head * choice);
        });
    const auto visible = [&](std::int64_t head) {
        if constexpr (concepts::Visibility<State>)
            return state;
        else
            return state.chosen(h.block(head, 0, 1), choices + head * choice);
    };
    const auto segments = [&](std::int64_t head, const Visible& v) {
        return Segments(h.block(head, 0, 1), v, Attention::segment_keys);
    };
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
            return Attention::template attend_segment<Arch>(
                h.block(head, 0, 1), v, tiles_for(tile, head, h.first), of_head[segment],
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

/// Floats of scratch for queries over at most `keys` keys that are all in memory, on `threads` threads. A part for each
/// thread, and for one token the choices of its heads and the results by segment of keys.
template <class Attention>
std::int64_t scratch_floats(int threads, std::int64_t kv_heads, std::int64_t group, std::int64_t channels,
                            std::int64_t keys) {
    using Mask = typename Attention::mask;
    std::int64_t floats = threads * (detail::thread_floats<Attention>(group, channels, keys) +
                                     detail::choice_floats<Mask>(group, channels, keys));
    if constexpr (Splits<Attention>)
        floats += kv_heads * (detail::choice_floats<Mask>(group, channels, keys) +
                              ceil_div(keys, Attention::segment_keys) * detail::partial_floats(group, channels));
    return floats;
}

/// Runs one task for each key/value head and block of queries; a single token is split over its keys where the
/// algorithm can. `tile` gives the keys, as kv_cache::tiles_of. `scratch` holds scratch_floats() for the team's
/// threads, and staged_scratch_floats() where tiles come in stages. `state`: the mask itself, or its state where it has
/// one. Throws FileError where tiles are on disk and cannot be read.
template <class Arch, class Attention, class Team, class Tile, class State = typename Attention::mask>
void attend(Team& team, const Heads& h, const Tile& tile, float* scratch, const State& state = {}) {
    if constexpr (kv_cache::StagedTiles<Tile>)
        if (tile.away() > 0) return attend_in_stages<Arch, Attention>(team, h, tile, state, scratch);
    if constexpr (Splits<Attention>)
        if (h.tokens == 1 && detail::attend_split<Arch, Attention>(team, h, tile, state, scratch)) return;
    const detail::Cut cut = detail::cut<Tile>(h, team.threads());
    const std::int64_t blocks = cut.count(), own = detail::thread_floats<Attention>(h.group, h.channels, h.keys);
    const std::int64_t each = own + detail::choice_floats<typename Attention::mask>(h.group, h.channels, h.keys);
    team.run(h.kv_heads * blocks, [&](std::int64_t task, int thread) {
        const std::int64_t head = task / blocks, token = cut.begin(task % blocks);
        const QueryBlock q = h.block(head, token, cut.begin(task % blocks + 1) - token);
        float* out = scratch + thread * each;
        const auto visible = detail::visible_to<Arch>(q, head, state, out + own);
        Attention::template attend<Arch>(q, visible, detail::tiles_for(tile, head, q.first), out,
                                         out + detail::result_floats(h.group, h.channels));
        h.place(head, token, q.rows, out);
    });
}

}  // namespace qwen3vl::attention
