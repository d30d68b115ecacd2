#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <qwen3vl/core/dims.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::position {

/// theta^(-2 i / dim) as the reference computes it: a float32 power and a float32 reciprocal.
inline float inverse_frequency(double theta, int i, int dim) {
    return 1.0f / static_cast<float>(
                      std::pow(theta, static_cast<double>(static_cast<float>(2 * i) / static_cast<float>(dim))));
}

/// Replaces n angles, held in `cosines`, by their cosines and sines, computed in double.
inline void cos_sin(std::int64_t n, float* cosines, float* sines) {
    for (std::int64_t i = 0; i < n; ++i) {
        const double angle = static_cast<double>(cosines[i]);
        cosines[i] = static_cast<float>(std::cos(angle));
        sines[i] = static_cast<float>(std::sin(angle));
    }
}

/// Defaults of the decoder's rotary policies, which hide them where they differ.
struct TextRotary {
    /// Tokens that a session's context may have.
    static constexpr std::int64_t max_positions(const TextDims& d) { return d.max_positions; }
    /// Multiplies cosines and sines, and thereby queries and keys.
    static float attention_factor() { return 1.0f; }
    /// Replaces n angles, held in `cosines`, by their cosines and sines.
    template <class Arch>
    static void cos_sin(std::int64_t n, float* cosines, float* sines) {
        position::cos_sin(n, cosines, sines);
    }
};

/// Rotary position embedding by one coordinate (Su et al., 2021, "RoFormer", eq. 34; rotate-half layout). For Dims
/// without mrope_section.
///     TextPolicies<>::with_position<position::Rope>
struct Rope : TextRotary {
    static constexpr const char* name = "Rope";
    static constexpr bool multimodal = false;
    /// Axis of (t, h, w) by which pair i of head_dim / 2 turns.
    static constexpr int axis(const TextDims&, int /*i*/) { return 0; }
    static float frequency(const TextDims& d, int i) { return inverse_frequency(d.rope_theta, i, d.head_dim); }
};

/// Interleaved multimodal RoPE (`apply_interleaved_mrope`, modeling_qwen3_vl.py). Pairs 1, 4, 7, … turn by the row, 2,
/// 5, 8, … by the column, up to three times their section; all others by time. With all sections zero it is plain RoPE.
///     TextPolicies<>::with_position<position::MRopeInterleaved>
struct MRopeInterleaved : TextRotary {
    static constexpr const char* name = "MRopeInterleaved";
    static constexpr bool multimodal = true;
    /// Axis of (t, h, w) by which pair i of head_dim / 2 turns.
    static constexpr int axis(const TextDims& d, int i) {
        const int a = i % 3;
        return a != 0 && i < 3 * d.mrope_section[static_cast<std::size_t>(a)] ? a : 0;
    }
    static float frequency(const TextDims& d, int i) { return inverse_frequency(d.rope_theta, i, d.head_dim); }
};

/// Axial 2-D RoPE of the vision tower (`Qwen3VLVisionRotaryEmbedding`): half of the pairs turn by the patch's row, half
/// by its column, with the same frequencies.
///     position::Grid2D<position::InterpolatedTable, position::Axial>
struct Axial {
    static constexpr const char* name = "Axial";
    /// Axis by which pair i of head_dim / 2 turns. 0: row, 1: column.
    static constexpr int axis(const VisionDims& d, int i) { return i < d.head_dim() / 4 ? 0 : 1; }
    static float frequency(const VisionDims& d, int i) {
        return inverse_frequency(d.rope_theta, i % (d.head_dim() / 4), d.head_dim() / 2);
    }
};

/// Angles of the pairs of one token: position[axis] * frequency, in float32 as the reference multiplies.
template <class Rotary, class D, class Position>
void pair_angles(const D& dims, const std::vector<float>& frequencies, const Position& position, float* angles) {
    for (std::size_t i = 0; i < frequencies.size(); ++i)
        angles[i] = static_cast<float>(position[static_cast<std::size_t>(Rotary::axis(dims, static_cast<int>(i)))]) *
                    frequencies[i];
}

/// Cosines and sines for the pairs of one token.
template <class Rotary, class D, class Position>
void angles(const D& dims, const std::vector<float>& frequencies, const Position& position, float* cosines,
            float* sines) {
    pair_angles<Rotary>(dims, frequencies, position, cosines);
    cos_sin(static_cast<std::int64_t>(frequencies.size()), cosines, sines);
}

/// Cosines and sines for the pairs of a decoder's token at (t, h, w), as its policy computes them, times its attention
/// factor.
template <class Arch, class Rotary>
void text_angles(const TextDims& dims, const std::vector<float>& frequencies, const std::array<int, 3>& position,
                 float* cosines, float* sines) {
    pair_angles<Rotary>(dims, frequencies, position, cosines);
    Rotary::template cos_sin<Arch>(static_cast<std::int64_t>(frequencies.size()), cosines, sines);
    if (const float factor = Rotary::attention_factor(); factor != 1.0f)
        for (std::size_t i = 0; i < frequencies.size(); ++i) {
            cosines[i] *= factor;
            sines[i] *= factor;
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
