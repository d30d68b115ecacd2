#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/kernels/attention_tile.hpp>
#include <qwen3vl/mask/block_summary.hpp>
#include <qwen3vl/mask/selection.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Blocks of keys that a query sees, counted by sequence index.
struct BlockBudget {
    int block = 64;  ///< keys to a block: a divisor or a multiple of 64
    int keep = 16;   ///< blocks that a query chooses
    int local = 2;   ///< latest blocks beside them, its own among them
    int global = 1;  ///< first blocks beside them
};

namespace mask {

/// Each query sees the latest blocks, the first ones, and of those between the B.keep with the highest scores. The
/// heads of a group choose together: a block's score is the highest that one of them gives it. Blocks are scored by a
/// summary of their keys, made when a block is full, so that no choice depends on how a prompt was cut into chunks. The
/// work follows the chosen blocks; choosing costs as much as one or two keys for each block. Summaries: KeyBounds,
/// MeanKey, Router.
///     attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 32}>>
template <BlockBudget B = BlockBudget{}, class Summary = KeyBounds>
struct DynamicSparse {
    static_assert(B.block > 0 && (64 % B.block == 0 || B.block % 64 == 0) && B.keep >= 0 && B.local > 0 &&
                      B.global >= 0,
                  "qwen3vl: slot mask: DynamicSparse needs a block of a divisor or a multiple of 64 keys, local > 0, "
                  "and keep and global from 0");
    static constexpr const char* name = "DynamicSparse";
    static constexpr bool causal = true;
    static constexpr std::int64_t span = 0;
    static constexpr std::int64_t sinks = 0;
    static constexpr std::int64_t block = B.block;  ///< keys to a block

    /// Parameters of the summary, of each layer.
    template <class M, class V>
    requires BringsParameters<Summary>
    using Parameters = parameters_of<Summary, M, V>;
    template <class Dims, class P, class F>
    static void visit_parameters(const Dims& d, P& p, F&& f) {
        Summary::visit_parameters(d, p, f);
    }

    /// Summaries of one layer's keys, in memory that the caller owns: bytes(), zeroed, aligned to 64.
    class State {
      public:
        /// Bytes of a layer's summaries for a sequence of at most `tokens` tokens.
        static std::int64_t bytes(std::int64_t kv_heads, std::int64_t channels, std::int64_t tokens) {
            return kv_heads * pages(tokens) * page_floats(channels) * static_cast<std::int64_t>(sizeof(float));
        }
        /// Lays the summaries over memory; `p`: the summary's parameters of the layer.
        template <class P>
        State(std::byte* memory, std::int64_t kv_heads, std::int64_t channels, std::int64_t tokens, const P& p)
            : summary_(p, kv_heads),
              summaries_(reinterpret_cast<float*>(memory)),
              kv_heads_(kv_heads),
              channels_(channels),
              pages_(pages(tokens)) {}

        /// Summarises the blocks that tokens [first, first + count) have filled. `tile(kv_head, index)` gives the keys
        /// 64 index, 64 index + 1, …
        template <class Team, class Tile>
        void update(Team& team, std::int64_t first, std::int64_t count, const Tile& tile) {
            const std::int64_t from = first / block, filled = (first + count) / block - from;
            if (filled == 0) return;
            team.run(kv_heads_ * filled, [&](std::int64_t task, int) {
                const std::int64_t head = task / filled, b = from + task % filled;
                const auto key = [&](std::int64_t i, std::int64_t c) {
                    return tile(head, (b * block + i) / 64).key((b * block + i) % 64, c);
                };
                summary_.summarise(head, key, block, channels_, page(head, b / page_blocks) + b % page_blocks,
                                   page_blocks);
            });
        }

        /// Floats of scratch for select().
        static std::int64_t scratch_floats(std::int64_t tokens, std::int64_t channels, std::int64_t keys) {
            return round_up(2 * tokens * Selection::words(keys, block), 16) + tokens * pages(keys) * page_blocks +
                   padded_rows * (2 * Summary::numbers(channels) + page_blocks);
        }

        /// Selects the keys that the queries of a block see, which share key/value head `kv_head`. The result refers to
        /// `scratch`.
        template <class Arch, class Block>
        Selection select(std::int64_t kv_head, const Block& q, float* scratch) const {
            const std::int64_t tokens = q.last() - q.first + 1, words = Selection::words(q.keys, block),
                               blocks = pages(q.keys) * page_blocks;
            std::fill_n(reinterpret_cast<std::uint64_t*>(scratch), tokens * words, 0);
            Selection all = chosen(q, scratch);
            float* scores = scratch + round_up(2 * tokens * words, 16);  // [tokens, blocks]
            if (between(q.last()) > B.keep) rate<Arch>(kv_head, q, blocks, scores, scores + tokens * blocks);
            for (std::int64_t t = 0; t < tokens; ++t) choose(q.first + t, scores + t * blocks, all);
            return all;
        }
        /// Selection that select() made for the same block, from its scratch.
        template <class Block>
        static Selection chosen(const Block& q, float* scratch) {
            return {reinterpret_cast<std::uint64_t*>(scratch), Selection::words(q.keys, block), q.first, block};
        }

      private:
        static constexpr std::int64_t page_blocks =
            64;  ///< blocks whose summaries lie side by side: a tile for the kernels
        static constexpr std::int64_t padded_rows = 16;  ///< at least the rows of the tallest register tile

        static constexpr std::int64_t pages(std::int64_t tokens) {
            return ceil_div(ceil_div(tokens, block), page_blocks);
        }
        static constexpr std::int64_t page_floats(std::int64_t channels) {
            return Summary::numbers(channels) * page_blocks;
        }
        float* page(std::int64_t head, std::int64_t index) const {
            return summaries_ + (head * pages_ + index) * page_floats(channels_);
        }
        /// Blocks between the first and the latest ones of a query.
        static std::int64_t between(std::int64_t query) {
            return std::max<std::int64_t>(0, query / block - B.local + 1 - B.global);
        }

        /// scores [tokens, blocks]: the products of the queries with the summaries, the highest of a group's heads.
        template <class Arch, class Block>
        void rate(std::int64_t kv_head, const Block& q, std::int64_t blocks, float* scores, float* scratch) const {
            const std::int64_t numbers = Summary::numbers(channels_), step = kernels::outer_rows<Arch>;
            float *packed = scratch + padded_rows * numbers, *products = packed + padded_rows * numbers;
            std::fill_n(scores, (q.last() - q.first + 1) * blocks, std::numeric_limits<float>::lowest());
            for (std::int64_t at = 0; at < q.rows; at += step) {
                const std::int64_t rows = std::min(step, q.rows - at);
                for (std::int64_t r = 0; r < rows; ++r)
                    summary_.query(kv_head, q.queries + (at + r) * channels_, channels_, scratch + r * numbers);
                kernels::pack_queries<Arch>(scratch, rows, numbers, 1.0f, packed);
                const int size = kernels::group_size<Arch>(rows);
                for (std::int64_t p = 0; p * page_blocks < blocks; ++p) {
                    kernels::key_products<Arch, page_blocks>(packed, size, page(kv_head, p), nullptr, numbers, 0,
                                                             page_blocks, products);
                    for (std::int64_t r = 0; r < rows; ++r) {
                        float* best = scores + (q.position(at + r) - q.first) * blocks + p * page_blocks;
                        for (std::int64_t b = 0; b < page_blocks; ++b)
                            best[b] = std::max(best[b], products[r * page_blocks + b]);
                    }
                }
            }
        }
        /// Chooses the blocks of a query; of equal scores the earlier block.
        static void choose(std::int64_t query, const float* scores, Selection& chosen) {
            const std::int64_t last = query / block, local = std::max<std::int64_t>(0, last - B.local + 1),
                               global = std::min<std::int64_t>(B.global, local);
            for (std::int64_t b = 0; b < global; ++b) chosen.choose(query, b);
            for (std::int64_t b = local; b <= last; ++b) chosen.choose(query, b);
            if (local - global <= B.keep) {
                for (std::int64_t b = global; b < local; ++b) chosen.choose(query, b);
                return;
            }
            std::array<std::int64_t, static_cast<std::size_t>(B.keep) + 1> best;  // by falling scores
            std::size_t n = 0;
            for (std::int64_t b = global; b < local; ++b) {
                std::size_t at = n;
                for (; at > 0 && scores[b] > scores[best[at - 1]]; --at) best[at] = best[at - 1];
                best[at] = b;
                n = std::min(n + 1, best.size() - 1);
            }
            for (std::size_t i = 0; i < n; ++i) chosen.choose(query, best[i]);
        }

        Summary summary_;
        float* summaries_;  ///< [kv_heads, pages, numbers, page_blocks]
        std::int64_t kv_heads_, channels_, pages_;
    };
};

}  // namespace mask
}  // namespace qwen3vl
