#pragma once
#include <qwen3vl/mask/ranges.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// Every query sees every key: the vision tower within a picture.
///     attention::Flash<mask::Full>, for the tower
struct Full {
    static constexpr const char* name = "Full";
    static constexpr bool causal = false;
    static constexpr std::int64_t span = 0;   ///< most keys back that a query needs; 0: all of them
    static constexpr std::int64_t sinks = 0;  ///< first keys that stay visible for ever
    /// f(range) for the keys of `within` that some query of [first_query, last_query] sees: ascending, none empty, none
    /// twice.
    template <class F>
    static void for_each_range(std::int64_t /*first_query*/, std::int64_t /*last_query*/, KeyRange within, F&& f) {
        give(within, within, f);
    }
    /// True if every query of [first_query, last_query] sees every key of [first_key, last_key].
    static bool whole(std::int64_t, std::int64_t, std::int64_t, std::int64_t) { return true; }
    static bool visible(std::int64_t /*query*/, std::int64_t /*key*/) { return true; }
};

}  // namespace qwen3vl::mask
