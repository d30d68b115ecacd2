#pragma once
#include <algorithm>
#include <qwen3vl/mask/ranges.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Blocks of keys that a block of queries sees. Blocks are counted by sequence index, so that no chunk of a prompt
/// changes them.
struct BlockPattern {
    int block = 64;  ///< tokens to a block
    int local = 8;   ///< latest blocks, the query's own among them
    int global = 1;  ///< first blocks, which every query sees
    int stride = 0;  ///< beside them the last one of every so many blocks; 0: none
};

namespace mask {

/// Local, global and strided blocks (Child et al., 2019, "Generating long sequences with sparse transformers", the
/// fixed pattern; Zaheer et al., 2020, "Big Bird", without its random blocks). Query i sees key j <= i where, in
/// blocks, i - j < local, or j < global, or j % stride = stride - 1. The work follows the visible blocks. Without a
/// stride the pattern has a span, and a ring can hold it.
///     attention::Flash<mask::BlockSparse<BlockPattern{.local = 4, .global = 1, .stride = 8}>>
template <BlockPattern P = BlockPattern{}>
struct BlockSparse {
    static_assert(P.block > 0 && P.local > 0 && P.global >= 0 && P.stride >= 0,
                  "qwen3vl: slot mask: BlockSparse needs block > 0 and local > 0, global and stride from 0");
    static constexpr const char* name = "BlockSparse";
    static constexpr bool causal = true;
    static constexpr std::int64_t block = P.block;  ///< keys
    static constexpr std::int64_t span = P.stride > 0 ? 0 : P.local* block;
    static constexpr std::int64_t sinks = P.stride > 0 ? 0 : P.global* block;

    template <class F>
    static void for_each_range(std::int64_t first_query, std::int64_t last_query, KeyRange within, F&& f) {
        within.end = std::min(within.end, last_query + 1);
        const std::int64_t local = std::max<std::int64_t>(0, first_query / block - P.local + 1),
                           global = std::min<std::int64_t>(P.global, local);
        give({0, global * block}, within, f);
        if constexpr (P.stride > 0)
            for (std::int64_t b = next_strided(std::max(global, within.begin / block));
                 b < local && b * block < within.end; b += P.stride)
                give({b * block, (b + 1) * block}, within, f);
        give({local * block, within.end}, within, f);
    }
    static bool whole(std::int64_t first_query, std::int64_t last_query, std::int64_t first_key,
                      std::int64_t last_key) {
        const std::int64_t from = first_key / block, to = last_key / block;
        return last_key <= first_query &&
               (last_query / block - from < P.local || to < P.global || (from == to && strided(from)));
    }
    static bool visible(std::int64_t query, std::int64_t key) {
        const std::int64_t b = key / block;
        return key <= query && (query / block - b < P.local || b < P.global || strided(b));
    }

  private:
    static bool strided(std::int64_t b) { return P.stride > 0 && b % P.stride == P.stride - 1; }
    /// The first strided block from `b` on.
    static std::int64_t next_strided(std::int64_t b) { return b + P.stride - 1 - b % P.stride; }
};

}  // namespace mask
}  // namespace qwen3vl
