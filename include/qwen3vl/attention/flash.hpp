#pragma once
#include <algorithm>
#include <limits>
#include <qwen3vl/attention/partial.hpp>
#include <qwen3vl/attention/row_groups.hpp>
#include <qwen3vl/mask/causal.hpp>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Tiled attention with online softmax: one pass over the keys, memory for one tile of scores (Dao, 2023,
/// "FlashAttention-2", algorithm 1; Milakov & Gimelshein, 2018). Exact. Segments of keys of fixed length are computed
/// each from scratch and joined in ascending order. So a step of decoding can give its segments to several threads
/// without a change of bits ("Flash-Decoding").
///     attention::Flash<mask::SlidingWindow<Window{.tokens = 4096, .sinks = 4}>>
template <class Mask = mask::Causal>
struct Flash {
    static constexpr const char* name = "Flash";
    using mask = Mask;
    static constexpr std::int64_t segment_keys = 16 * kv_cache::tile_keys;

    /// Floats of scratch for a block.
    static std::int64_t scratch_floats(std::int64_t rows, std::int64_t channels, std::int64_t /*keys*/) {
        return Workspace(rows, channels).size;
    }

    /// out [rows, channels] = softmax(queries · keys^T, masked) · values; `tiles(i)` gives tile i of the head.
    template <class Arch, class Visible, class Tiles>
    static void attend(const QueryBlock& q, const Visible& visible, const Tiles& tiles, float* out, float* scratch) {
        const Workspace w(q.rows, q.channels);
        const RowGroups<Arch> groups(q, log2_e, scratch + w.packed);
        const Partial whole{out, scratch + w.whole, scratch + w.whole + q.rows};
        whole.clear(q.rows, q.channels);
        Segments(q, visible, segment_keys).for_each([&](qwen3vl::mask::KeyRange keys) {
            merge<Arch>(q.rows, q.channels, attend_keys(groups, visible, tiles, keys, scratch, w), whole);
        });
        finish<Arch>(q.rows, q.channels, whole);
    }

    /// The block over one segment of keys alone, into `part`.
    template <class Arch, class Visible, class Tiles>
    static void attend_segment(const QueryBlock& q, const Visible& visible, const Tiles& tiles,
                               qwen3vl::mask::KeyRange keys, const Partial& part, float* scratch) {
        const Workspace w(q.rows, q.channels);
        const Partial found =
            attend_keys(RowGroups<Arch>(q, log2_e, scratch + w.packed), visible, tiles, keys, scratch, w);
        copy(q.rows, q.channels, found, part);
    }

  private:
    /// Offsets of the parts of a block's scratch, in floats.
    struct Workspace {
        std::int64_t size = 0;
        std::int64_t packed, out, top, sums, total, shrink, scores, wide, whole;
        Workspace(std::int64_t rows, std::int64_t channels) {
            const std::int64_t padded = padded_rows(rows);
            const auto take = [&](std::int64_t n) { return std::exchange(size, size + round_up(n, 16)); };
            packed = take(padded * channels);
            out = take(padded * channels);
            top = take(padded);
            sums = take(padded * 16);  // lanes of the widest vectors
            total = take(rows);
            shrink = take(16);
            scores = take(12 * kv_cache::tile_keys);  // rows of the tallest register tile
            wide = take(wide_tile_floats(channels));
            whole = take(2 * rows);
        }
    };

    /// The block over the keys of one segment; the result lies in scratch.
    template <class Arch, class Visible, class Tiles>
    static Partial attend_keys(const RowGroups<Arch>& groups, const Visible& visible, const Tiles& tiles,
                               qwen3vl::mask::KeyRange keys, float* scratch, const Workspace& w) {
        const QueryBlock& q = groups.block();
        const Partial part{scratch + w.out, scratch + w.top, scratch + w.total};
        float *sums = scratch + w.sums, *scores = scratch + w.scores, *shrink = scratch + w.shrink;
        const std::int64_t padded = padded_rows(q.rows);
        std::fill_n(part.out, padded * q.channels, 0.0f);
        std::fill_n(part.top, padded, std::numeric_limits<float>::lowest());
        std::fill_n(sums, padded * Arch::floats, 0.0f);
        const auto meet = [&](const auto& tile) {
            groups.for_each([&](const QueryBlock& rows, const float* packed, int size, std::int64_t at) {
                const auto seen = visible_keys(rows, visible, tile.first, tile.count);
                if (seen.begin >= seen.end) return;
                score<Arch>(rows, visible, packed, size, tile, seen, scores);
                kernels::softmax_step<Arch, kv_cache::tile_keys>(scores, size, seen.begin, seen.end, tile.value_scales,
                                                                 part.top + at, shrink, sums + at * Arch::floats);
                kernels::add_values<Arch, kv_cache::tile_keys>(scores, size, tile.values, q.channels, seen.begin,
                                                               seen.end, shrink, part.out + at * q.channels, tile.next);
            });
        };
        for_each_tile(
            q, visible, tiles, [&](const auto& tile) { with_tile_for<Arch>(q.rows, tile, scratch + w.wide, meet); },
            keys);
        for (std::int64_t r = 0; r < q.rows; ++r)
            part.total[r] = kernels::sum_lanes<Arch>(kernels::load<Arch>(sums + r * Arch::floats));
        return part;
    }
};

}  // namespace qwen3vl::attention
