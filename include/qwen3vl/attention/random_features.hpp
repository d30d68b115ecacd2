#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <mutex>
#include <numbers>
#include <qwen3vl/kv_cache/tile.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Directions of positive orthogonal random features (Choromanski et al., 2021, "Rethinking attention with Performers",
/// section 2.4). Rows are orthogonal within each head_dim of them, and as long as Gaussian vectors are. Equal in every
/// process.
class RandomDirections {
  public:
    /// Made once for each pair of extents.
    static const RandomDirections& of(std::int64_t features, std::int64_t head_dim, std::int64_t channels) {
        static std::mutex mutex;
        static std::map<std::pair<std::int64_t, std::int64_t>, RandomDirections> all;
        const std::lock_guard lock(mutex);
        return all.try_emplace({features, head_dim}, features, head_dim, channels).first->second;
    }
    /// Draws the directions [features, head_dim], padded with zeros to `channels`; of() keeps them.
    RandomDirections(std::int64_t features, std::int64_t head_dim, std::int64_t channels)
        : channels_(channels), rows_(static_cast<std::size_t>(features * channels)), tiles_(rows_.size()) {
        std::uint64_t state = 0x9e3779b97f4a7c15u;
        std::vector<std::vector<double>> block;
        for (std::int64_t f = 0; f < features; ++f) {
            if (f % head_dim == 0) block.clear();
            std::vector<double> v(static_cast<std::size_t>(head_dim)), length(v.size());
            for (double& x : v) x = gaussian(state);
            for (double& x : length) x = gaussian(state);
            for (const auto& u : block) {  // Gram-Schmidt
                const double along = dot(u, v);
                for (std::size_t c = 0; c < v.size(); ++c) v[c] -= along * u[c];
            }
            const double size = std::sqrt(dot(v, v)), wanted = std::sqrt(dot(length, length));
            for (double& x : v) x /= size;
            for (std::size_t c = 0; c < v.size(); ++c) {
                const auto value = static_cast<float>(wanted * v[c]);
                const auto channel = static_cast<std::int64_t>(c);
                rows_[static_cast<std::size_t>(f * channels + channel)] = value;
                tiles_[static_cast<std::size_t>((f / width * channels + channel) * width + f % width)] = value;
            }
            block.push_back(std::move(v));
        }
    }
    /// Direction [channels] of a feature.
    const float* row(std::int64_t feature) const { return rows_.data() + feature * channels_; }
    /// Directions [channels, 64] of the features from a multiple of 64 on.
    const float* tile(std::int64_t feature) const { return tiles_.data() + feature * channels_; }

  private:
    static constexpr std::int64_t width = kv_cache::tile_keys;

    static double dot(const std::vector<double>& a, const std::vector<double>& b) {
        double sum = 0;
        for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] * b[c];
        return sum;
    }
    /// SplitMix64 (Steele et al., 2014) in (0, 1], twice, by Box and Muller (1958).
    static double gaussian(std::uint64_t& state) {
        const auto even = [&] {
            std::uint64_t z = state += 0x9e3779b97f4a7c15u;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
            z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
            return (static_cast<double>((z ^ (z >> 31)) >> 11) + 1) * 0x1p-53;
        };
        const double radius = std::sqrt(-2 * std::log(even()));
        return radius * std::cos(2 * std::numbers::pi * even());
    }

    std::int64_t channels_;
    std::vector<float> rows_, tiles_;
};

}  // namespace qwen3vl::attention
