#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <string_view>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// SplitMix64 (Steele et al., 2014, "Fast splittable pseudorandom number generators"): the same numbers on every
/// platform.
class Rng {
  public:
    explicit Rng(std::uint64_t seed) : state_(seed) {}
    std::uint64_t bits() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    /// Evenly in [-1, 1).
    float signed_unit() { return static_cast<float>(static_cast<std::int64_t>(bits()) >> 40) * 0x1p-23f; }
    /// Evenly in [0, n).
    int below(int n) { return static_cast<int>(bits() % static_cast<std::uint64_t>(n)); }
    std::vector<float> floats(std::size_t n, float scale = 1.0f) {
        std::vector<float> v(n);
        for (float& x : v) x = scale * signed_unit();
        return v;
    }

  private:
    std::uint64_t state_;
};

/// FNV-1a: a seed from a name.
inline std::uint64_t seed_of(std::string_view name, std::uint64_t seed = 0) {
    std::uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return h;
}

}  // namespace qwen3vl::testing
