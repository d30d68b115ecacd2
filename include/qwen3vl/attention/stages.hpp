#pragma once
#include <qwen3vl/attention/head_blocks.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>

/// Attention over keys that are not all in memory: from first to last, in stages that are read while earlier ones are
/// computed with.
namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Keys of a stage: whole segments of an algorithm, enough that a disk reads them at its full rate.
template <Splits Attention>
inline constexpr std::int64_t stage_keys =
    ceil_div(16 * kv_cache::tile_keys, Attention::segment_keys) * Attention::segment_keys;

namespace detail {
/// The blocks of queries that all meet a stage before the next one comes, and their memory.
template <class Attention>
class StagedBlocks {
    using Mask = typename Attention::mask;

  public:
    StagedBlocks(const Heads& h, int threads, float* scratch)
        : h_(h),
          step_(block_tokens(h.group)),
          blocks_(ceil_div(h.tokens, step_)),
          rows_(std::min(step_, h.tokens) * h.group),
          thread_(scratch) {
        whole_ = thread_ + threads * thread_floats(rows_, h.channels, h.keys);
        choice_ = whole_ + tasks() * partial_floats(rows_, h.channels);
    }
    static std::int64_t floats(int threads, std::int64_t tokens, std::int64_t kv_heads, std::int64_t group,
                               std::int64_t channels, std::int64_t keys) {
        const std::int64_t step = block_tokens(group), rows = std::min(step, tokens) * group;
        return threads * thread_floats(rows, channels, keys) +
               kv_heads * ceil_div(tokens, step) *
                   (partial_floats(rows, channels) + choice_floats<Mask>(group, channels, keys));
    }

    std::int64_t tasks() const { return h_.kv_heads * blocks_; }
    std::int64_t head(std::int64_t task) const { return task / blocks_; }
    QueryBlock block(std::int64_t task) const {
        return h_.block(head(task), token(task), std::min(step_, h_.tokens - token(task)));
    }
    /// The task's sums over the stages so far.
    Partial whole(std::int64_t task) const {
        return Partial::in(whole_ + task * partial_floats(rows_, h_.channels), block(task).rows, h_.channels);
    }
    /// Memory for its mask's choice.
    float* choice(std::int64_t task) const {
        return choice_ + task * choice_floats<Mask>(h_.group, h_.channels, h_.keys);
    }
    /// Memory of a thread: the sums over one segment, and the algorithm's scratch.
    Partial part(int thread, std::int64_t rows) const { return Partial::in(own(thread), rows, h_.channels); }
    float* scratch(int thread) const { return own(thread) + partial_floats(rows_, h_.channels); }
    void place(std::int64_t task) const { h_.place(head(task), token(task), block(task).rows, whole(task).out); }

  private:
    static std::int64_t thread_floats(std::int64_t rows, std::int64_t channels, std::int64_t keys) {
        return partial_floats(rows, channels) + round_up(Attention::scratch_floats(rows, channels, keys), 16);
    }
    std::int64_t token(std::int64_t task) const { return task % blocks_ * step_; }
    float* own(int thread) const { return thread_ + thread * thread_floats(rows_, h_.channels, h_.keys); }

    const Heads& h_;
    std::int64_t step_, blocks_, rows_;
    float *thread_, *whole_, *choice_;
};

/// Gives a stage back to its owner, whatever happens.
template <class Tiles>
struct Releases {
    const Tiles& tiles;
    ~Releases() { tiles.release(); }
};
}  // namespace detail

/// Floats of scratch for attend_in_stages with at most so many tokens at once.
template <class Attention>
std::int64_t staged_scratch_floats(int threads, std::int64_t tokens, std::int64_t kv_heads, std::int64_t group,
                                   std::int64_t channels, std::int64_t keys) {
    return detail::StagedBlocks<Attention>::floats(threads, tokens, kv_heads, group, channels, keys);
}

/// Runs attend(), with the same bits, for tiles some of which are not in memory: each stage is read once for all
/// queries, and of it the tiles that some query sees. `scratch` holds staged_scratch_floats(). Throws FileError.
template <class Arch, class Attention, class Team, kv_cache::StagedTiles Tiles, class State>
void attend_in_stages(Team& team, const Heads& h, const Tiles& tiles, const State& state, float* scratch) {
    constexpr bool chooses = !concepts::Visibility<State>;
    constexpr std::int64_t stage_tiles = stage_keys<Attention> / kv_cache::tile_keys;
    const detail::StagedBlocks<Attention> blocks(h, team.threads(), scratch);
    team.run(blocks.tasks(), [&](std::int64_t task, int) {
        const QueryBlock q = blocks.block(task);
        blocks.whole(task).clear(q.rows, q.channels);
        detail::visible_to<Arch>(q, blocks.head(task), state, blocks.choice(task));
    });
    const auto visible = [&](std::int64_t task) {
        if constexpr (chooses)
            return state.chosen(blocks.block(task), blocks.choice(task));
        else
            return state;
    };
    const std::int64_t away = tiles.away(), stages = ceil_div(away, stage_tiles);
    // stage `s` through ask(first tile, last, the tiles in it that some query sees)
    const auto ask = [&](std::int64_t s, auto&& through) {
        const std::int64_t first = s * stage_tiles, last = std::min(first + stage_tiles, away);
        through(first, last, [&](auto&& want) {
            for (std::int64_t task = 0; task < blocks.tasks(); ++task) {
                const QueryBlock q = blocks.block(task);
                visible(task).for_each_range(
                    q.first, q.last(), {first * kv_cache::tile_keys, last * kv_cache::tile_keys},
                    [&](qwen3vl::mask::KeyRange keys) {
                        for (std::int64_t i = keys.begin / kv_cache::tile_keys; i * kv_cache::tile_keys < keys.end; ++i)
                            want(blocks.head(task), i);
                    });
            }
        });
    };
    const auto ask_here = [&](auto&&... a) { tiles.ask(a...); };
    const auto meet = [&](qwen3vl::mask::KeyRange keys) {
        team.run(blocks.tasks(), [&](std::int64_t task, int thread) {
            const QueryBlock q = blocks.block(task);
            const auto seen = visible(task);
            Segments(q, seen, Attention::segment_keys, keys).for_each([&](qwen3vl::mask::KeyRange segment) {
                const Partial part = blocks.part(thread, q.rows);
                Attention::template attend_segment<Arch>(q, seen, detail::tiles_for(tiles, blocks.head(task), q.first),
                                                         segment, part, blocks.scratch(thread));
                merge<Arch>(q.rows, q.channels, part, blocks.whole(task));
            });
        });
    };
    const detail::Releases<Tiles> releases{tiles};
    for (std::int64_t s = 0; s < std::min(stages, Tiles::ahead); ++s) ask(s, ask_here);
    for (std::int64_t s = 0; s < stages; ++s) {
        tiles.await(s * stage_tiles);
        if (const std::int64_t next = s + Tiles::ahead; next < stages)
            ask(next, ask_here);
        else if (!chooses && next - stages < stages)
            ask(next - stages, [&](auto&&... a) { tiles.ask_next(a...); });
        meet({s * stage_keys<Attention>, (s + 1) * stage_keys<Attention>});
    }
    meet({stages * stage_keys<Attention>, all_keys.end});
    team.run(blocks.tasks(), [&](std::int64_t task, int) {
        const QueryBlock q = blocks.block(task);
        finish<Arch>(q.rows, q.channels, blocks.whole(task));
        blocks.place(task);
    });
}

}  // namespace qwen3vl::attention
