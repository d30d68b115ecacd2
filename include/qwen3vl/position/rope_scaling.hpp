#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>
#include <qwen3vl/position/rotary.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Context extension: new context / trained context.
struct Factor {
    double n = 1.0;  ///< 1: none
};

/// Options of YaRN: fields of rope_scaling in config.json.
struct YarnOptions {
    double factor = 1.0;      ///< new context / trained context
    int trained = 0;          ///< original_max_position_embeddings; 0: the base policy's max_positions
    double beta_fast = 32.0;  ///< pairs that turn more often than this within the trained context keep their frequency
    double beta_slow = 1.0;   ///< pairs that turn less often than this are slowed down by the whole factor
};

namespace position {

/// Positions after extension: `trained` times a factor, at most 2^24: so far float32 counts by one.
constexpr std::int64_t stretched(std::int64_t trained, double factor) {
    return static_cast<std::int64_t>(std::min(0x1p24, static_cast<double>(trained) * factor));
}

/// NTK-aware scaling for context beyond training (bloc97, 2023; Peng et al., 2023, "YaRN", section 3.1). theta becomes
/// theta * factor^(d / (d - 2)) with d = head_dim: the slowest pair turns `factor` times slower, the fastest as before.
/// Not trained for: the checkpoint and its config.json stay the stock ones.
///     position::NTK<position::MRopeInterleaved, Factor{4}>
template <class Base, Factor F>
struct NTK : Base {
    static_assert(F.n >= 1, "qwen3vl: slot position: NTK needs a Factor of at least 1");
    static constexpr const char* name = "NTK";
    static constexpr std::int64_t max_positions(const TextDims& d) {
        return std::max(Base::max_positions(d), stretched(Base::max_positions(d), F.n));
    }
    static float frequency(TextDims d, int i) {
        if (d.head_dim > 2) d.rope_theta *= std::pow(F.n, static_cast<double>(d.head_dim) / (d.head_dim - 2));
        return Base::frequency(d, i);
    }
};

/// YaRN for context beyond training (Peng et al., 2023, "YaRN: Efficient context window extension of large language
/// models", sections 3.2 to 3.4). Pairs that turn often within the trained context keep their frequency. Pairs that do
/// not complete a turn are slowed down by the factor; between them lies a ramp. Cosines and sines grow by 0.1
/// ln(factor) + 1. As in `_compute_yarn_parameters` (modeling_rope_utils.py), the ramp is linear in the pair's index
/// and its ends are rounded outwards. It is put on a stock checkpoint: config.json keeps rope_type "default".
///     position::YaRN<position::MRopeInterleaved, YarnOptions{.factor = 4}>
template <class Base, YarnOptions O>
struct YaRN : Base {
    static_assert(O.factor >= 1, "qwen3vl: slot position: YaRN needs a factor of at least 1");
    static_assert(O.trained >= 0 && O.beta_slow > 0 && O.beta_fast > O.beta_slow,
                  "qwen3vl: slot position: YaRN needs trained >= 0 and beta_fast > beta_slow > 0");
    static constexpr const char* name = "YaRN";
    static constexpr std::int64_t max_positions(const TextDims& d) {
        return std::max(Base::max_positions(d), stretched(trained(d), O.factor));
    }
    static float attention_factor() {
        return Base::attention_factor() * static_cast<float>(0.1 * std::log(O.factor) + 1.0);
    }
    static float frequency(const TextDims& d, int i) {
        const double low = std::max(0.0, std::floor(pair_of(d, O.beta_fast)));
        double high = std::min(d.head_dim - 1.0, std::ceil(pair_of(d, O.beta_slow)));
        if (high == low) high += 0.001;
        const double slowed = std::clamp((i - low) / (high - low), 0.0, 1.0);
        return static_cast<float>(static_cast<double>(Base::frequency(d, i)) * (1.0 - slowed * (1.0 - 1.0 / O.factor)));
    }

  private:
    static constexpr std::int64_t trained(const TextDims& d) {
        return O.trained > 0 ? O.trained : Base::max_positions(d);
    }
    /// Index, with a fraction, of the pair that makes `turns` turns within the trained context.
    static double pair_of(const TextDims& d, double turns) {
        return d.head_dim * std::log(static_cast<double>(trained(d)) / (turns * 2 * std::numbers::pi)) /
               (2 * std::log(d.rope_theta));
    }
};

}  // namespace position
}  // namespace qwen3vl
