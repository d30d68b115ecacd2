#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>

/// Policies that say to how many pixels a picture is resized.
namespace qwen3vl::inline QWEN3VL_ABI::resolution {

/// Least and most pixels that a picture is resized to.
struct PixelBudget {
    std::int64_t least = 0, most = 0;  ///< in pixels
};

/// The budget of the checkpoint's preprocessor_config.json: every picture at its own size within it.
struct Native {
    static constexpr const char* name = "Native";
    /// Leaves the budget as it is.
    static constexpr PixelBudget budget(PixelBudget configured) { return configured; }
};

}  // namespace qwen3vl::resolution
