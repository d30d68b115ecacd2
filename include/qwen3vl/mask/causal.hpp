#pragma once
#include <qwen3vl/mask/ranges.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// A query sees the keys up to its own sequence index (not its M-RoPE position).
///     attention::Flash<mask::Causal>
struct Causal {
    static constexpr const char* name = "Causal";
    static constexpr bool causal = true;
    static constexpr std::int64_t span = 0;
    static constexpr std::int64_t sinks = 0;
    template <class F>
    static void for_each_range(std::int64_t /*first_query*/, std::int64_t last_query, KeyRange within, F&& f) {
        give({0, last_query + 1}, within, f);
    }
    static bool whole(std::int64_t first_query, std::int64_t, std::int64_t, std::int64_t last_key) {
        return last_key <= first_query;
    }
    static bool visible(std::int64_t query, std::int64_t key) { return key <= query; }
};

}  // namespace qwen3vl::mask
