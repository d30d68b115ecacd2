#pragma once
#include <concepts>
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Fusion policies whose visual tokens do not enter the sequence: `stand_in` pad tokens stand in the prompt for a frame
/// pair. visual_capacity(context) is how many rows of features a sequence takes.
template <class F>
concept KeepsOutside = requires(std::int64_t context) {
    requires F::stand_in >
    0;
    { F::visual_capacity(context) } -> std::convertible_to<std::int64_t>;
};

/// Pad tokens of a frame pair in the prompt; 0: one for each row of its features.
template <class F>
constexpr int stand_in_of() {
    if constexpr (KeepsOutside<F>)
        return F::stand_in;
    else
        return 0;
}
/// Pad tokens of a frame pair that has so many rows of features.
template <class F>
constexpr std::int64_t pads_of(std::int64_t features) {
    return KeepsOutside<F> ? stand_in_of<F>() : features;
}

}  // namespace qwen3vl::fusion
