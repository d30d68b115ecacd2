#pragma once
#include <algorithm>
#include <qwen3vl/mask/ranges.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Length of a window of the latest tokens, and number of first tokens that stay visible beside it.
struct Window {
    int tokens = 0;  ///< latest tokens that a query sees, itself included
    int sinks = 0;   ///< first tokens of the sequence
};

namespace mask {

/// A query sees itself and the W.tokens - 1 keys before it, and the first W.sinks keys (attention sinks: Xiao et al.,
/// 2023, "Efficient streaming language models with attention sinks"; keys keep the positions they were rotated by).
///     attention::Flash<mask::SlidingWindow<Window{.tokens = 4096, .sinks = 4}>>
template <Window W>
struct SlidingWindow {
    static_assert(W.tokens > 0 && W.sinks >= 0, "qwen3vl: slot mask: SlidingWindow needs tokens > 0 and sinks >= 0");
    static constexpr const char* name = "SlidingWindow";
    static constexpr bool causal = true;
    static constexpr std::int64_t span = W.tokens;
    static constexpr std::int64_t sinks = W.sinks;
    template <class F>
    static void for_each_range(std::int64_t first_query, std::int64_t last_query, KeyRange within, F&& f) {
        const std::int64_t begin = std::max<std::int64_t>(0, first_query + 1 - W.tokens);
        give({0, std::min<std::int64_t>(W.sinks, begin)}, within, f);
        give({begin, last_query + 1}, within, f);
    }
    static bool whole(std::int64_t first_query, std::int64_t last_query, std::int64_t first_key,
                      std::int64_t last_key) {
        return last_key <= first_query && (last_query - first_key < W.tokens || last_key < W.sinks);
    }
    static bool visible(std::int64_t query, std::int64_t key) {
        return key <= query && (query - key < W.tokens || key < W.sinks);
    }
};

}  // namespace mask
}  // namespace qwen3vl
