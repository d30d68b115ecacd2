#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <qwen3vl/core/dims.hpp>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::reference {

/// theta^(-2 i / dim) for i below dim / 2 (Su et al., 2021, "RoFormer", section 3.2.2).
inline std::vector<double> inverse_frequencies(double theta, int dim) {
    std::vector<double> f(static_cast<std::size_t>(dim / 2));
    for (std::size_t i = 0; i < f.size(); ++i) f[i] = std::pow(theta, -2.0 * static_cast<double>(i) / dim);
    return f;
}

/// The base of NTK-aware scaling, theta * factor^(dim / (dim - 2)) (`_compute_dynamic_ntk_parameters`,
/// modeling_rope_utils.py, where seq_len is the trained context's multiple that makes its bracket the factor).
inline double ntk_theta(double theta, int dim, double factor) { return theta * std::pow(factor, dim / (dim - 2.0)); }

/// The inverse frequencies of YaRN over a trained context (`_compute_yarn_parameters`, modeling_rope_utils.py).
inline std::vector<double> yarn_frequencies(double theta, int dim, double factor, double trained, double beta_fast,
                                            double beta_slow) {
    const auto correction_dim = [&](double rotations) {
        return dim * std::log(trained / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
    };
    const double low = std::max(std::floor(correction_dim(beta_fast)), 0.0),
                 high = std::min(std::ceil(correction_dim(beta_slow)), dim - 1.0);
    std::vector<double> f = inverse_frequencies(theta, dim);
    for (std::size_t i = 0; i < f.size(); ++i) {
        const double ramp = std::clamp((static_cast<double>(i) - low) / (low == high ? 0.001 : high - low), 0.0, 1.0),
                     extrapolation = 1 - ramp;
        f[i] = f[i] / factor * (1 - extrapolation) + f[i] * extrapolation;
    }
    return f;
}

/// Factor by which YaRN multiplies cosines and sines (Peng et al., 2023, eq. 22).
inline double yarn_attention_factor(double factor) { return 0.1 * std::log(factor) + 1.0; }

/// Angles of the head_dim / 2 pairs of one token at (t, h, w): interleaved multimodal RoPE (`apply_interleaved_mrope`).
/// All pairs turn by time first; then h and w overwrite the slices offset : 3 * section : 3 (offset 1 for h, 2 for w).
inline std::vector<double> mrope_angles(const TextDims& d, const std::vector<double>& frequencies,
                                        const std::array<int, 3>& position) {
    std::vector<double> angles(frequencies.size());
    for (std::size_t i = 0; i < angles.size(); ++i) angles[i] = position[0] * frequencies[i];
    for (std::size_t axis : {std::size_t{1}, std::size_t{2}})
        for (std::size_t i = axis; i < static_cast<std::size_t>(3 * d.mrope_section[axis]); i += 3)
            angles[i] = position[axis] * frequencies[i];
    return angles;
}

/// Angles of interleaved multimodal RoPE with the frequencies of d.rope_theta.
inline std::vector<double> mrope_angles(const TextDims& d, const std::array<int, 3>& position) {
    return mrope_angles(d, inverse_frequencies(d.rope_theta, d.head_dim), position);
}

/// Angles of the head_dim / 2 pairs of a patch: the row's quarter of the head, then the column's
/// (`Qwen3VLVisionModel.rot_pos_emb`). Each has the frequencies of a rotary embedding over head_dim / 2 channels.
inline std::vector<double> axial_angles(const VisionDims& d, int row, int column) {
    std::vector<double> angles;
    for (const int coordinate : {row, column})
        for (const double f : inverse_frequencies(d.rope_theta, d.head_dim() / 2)) angles.push_back(coordinate * f);
    return angles;
}

/// x * cos + rotate_half(x) * sin, where rotate_half(x) = concat(-x[n/2:], x[:n/2]) and the angles repeat over both
/// halves (`apply_rotary_pos_emb`).
inline std::vector<double> rotate(const std::vector<double>& x, const std::vector<double>& angles) {
    const std::size_t half = x.size() / 2;
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double turned = i < half ? -x[i + half] : x[i - half], angle = angles[i % half];
        y[i] = x[i] * std::cos(angle) + turned * std::sin(angle);
    }
    return y;
}

/// Coordinate at which patch i of n reads a table of `side` entries: linspace(0, side - 1, n)[i]
/// (`fast_pos_embed_interpolate`).
inline double table_coordinate(int i, int n, int side) {
    return n == 1 ? 0.0 : static_cast<double>(i) * (side - 1) / (n - 1);
}

/// The entry of a [side, side] table at (y, x), bilinear between its four neighbours.
inline double interpolate(const std::vector<double>& table, int side, double y, double x) {
    const auto split = [&](double at) { return std::pair(static_cast<int>(at), at - std::floor(at)); };
    const auto [y0, v] = split(y);
    const auto [x0, u] = split(x);
    const auto entry = [&](int r, int c) {
        return table[static_cast<std::size_t>(r < side ? r : side - 1) * static_cast<std::size_t>(side) +
                     static_cast<std::size_t>(c < side ? c : side - 1)];
    };
    return (1 - v) * ((1 - u) * entry(y0, x0) + u * entry(y0, x0 + 1)) +
           v * ((1 - u) * entry(y0 + 1, x0) + u * entry(y0 + 1, x0 + 1));
}

}  // namespace qwen3vl::reference
