#pragma once
#include <cmath>
#include <qwen3vl/core/dims.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::position {

/// theta^(-2 i / dim) as the reference computes it: a float32 power and a float32 reciprocal.
inline float inverse_frequency(double theta, int i, int dim) {
    return 1.0f / static_cast<float>(std::pow(theta, static_cast<double>(static_cast<float>(2 * i) / static_cast<float>(dim))));
}

/// Rotary position embedding by one coordinate (Su et al., 2021, "RoFormer", eq. 34; rotate-half layout). For Dims without mrope_section.
struct Rope {
    static constexpr const char* name = "Rope";
    static constexpr bool multimodal = false;
    /// Which of (t, h, w) turns pair i of head_dim / 2.
    static constexpr int axis(const TextDims&, int /*i*/) { return 0; }
    static float frequency(const TextDims& d, int i) { return inverse_frequency(d.rope_theta, i, d.head_dim); }
};

/// Interleaved multimodal RoPE: pairs 1, 4, 7, … turn by the row, 2, 5, 8, … by the column, up to three times their section, all others by
/// time (`apply_interleaved_mrope`, modeling_qwen3_vl.py). With all sections zero it is plain RoPE.
struct MRopeInterleaved {
    static constexpr const char* name = "MRopeInterleaved";
    static constexpr bool multimodal = true;
    static constexpr int axis(const TextDims& d, int i) {
        const int a = i % 3;
        return a != 0 && i < 3 * d.mrope_section[static_cast<std::size_t>(a)] ? a : 0;
    }
    static float frequency(const TextDims& d, int i) { return inverse_frequency(d.rope_theta, i, d.head_dim); }
};

/// Axial 2-D RoPE of the vision tower: half of the pairs turn by the patch's row, half by its column, with the same frequencies
/// (`Qwen3VLVisionRotaryEmbedding`).
struct Axial {
    static constexpr const char* name = "Axial";
    /// 0: row, 1: column, for pair i of head_dim / 2.
    static constexpr int axis(const VisionDims& d, int i) { return i < d.head_dim() / 4 ? 0 : 1; }
    static float frequency(const VisionDims& d, int i) { return inverse_frequency(d.rope_theta, i % (d.head_dim() / 4), d.head_dim() / 2); }
};

/// Cosines and sines for the pairs of one token: position[axis] * frequency, in float32 as the reference multiplies.
template <class Rotary, class D, class Position>
void angles(const D& dims, const std::vector<float>& frequencies, const Position& position, float* cosines, float* sines) {
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const float angle = static_cast<float>(position[static_cast<std::size_t>(Rotary::axis(dims, static_cast<int>(i)))]) * frequencies[i];
        cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
        sines[i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
}

/// The frequencies of all pairs of a head.
template <class Rotary, class D>
std::vector<float> frequencies(const D& dims, int head_dim) {
    std::vector<float> f(static_cast<std::size_t>(head_dim / 2));
    for (std::size_t i = 0; i < f.size(); ++i) f[i] = Rotary::frequency(dims, static_cast<int>(i));
    return f;
}

}  // namespace qwen3vl::position
