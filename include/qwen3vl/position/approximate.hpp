#pragma once
#include <array>
#include <cmath>
#include <numbers>
#include <qwen3vl/kernels/simd.hpp>
#include <qwen3vl/position/rotary.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A number of entries of a table, as a template argument.
struct Entries {
    int n = 0;  ///< entries
};

namespace position {

/// Any rotary policy with cosines and sines from a table of one turn of E.n sines. Interpolates by the addition
/// theorem: from the nearest entry, at most pi / E.n away, with Taylor's polynomial of degree 2. Each differs from that
/// of the base policy's float32 angle by at most (pi / E.n)^3 / 6 + 10 * 2^-24 for positions to 2^18. That is 1e-6 with
/// 256 entries, for which linear interpolation (h^2 / 8) would need 4000.
///     position::Approximate<position::MRopeInterleaved>
template <class Base, Entries E = Entries{256}>
struct Approximate : Base {
    static_assert(E.n >= 16 && E.n <= 65536 && (E.n & (E.n - 1)) == 0,
                  "qwen3vl: slot position: Approximate needs Entries that are a power of two from 16 to 65536");
    static constexpr const char* name = "Approximate";

    /// Replaces n angles, held in `cosines`, by their cosines and sines.
    template <class Arch>
    static void cos_sin(std::int64_t n, float* cosines, float* sines) {
        namespace isa = kernels::isa;
        using V = kernels::vec<Arch>;
        using Indices = xsimd::batch<std::int32_t, typename V::arch_type>;
        constexpr double turn = 2 * std::numbers::pi;
        // 2 pi in three parts (Cody and Waite, 1980): the first two have 5 bits, so that their products with up to 2^19
        // turns are exact.
        constexpr double first = 25.0 / 4, second = 17.0 / 512, third = turn - first - second;
        const auto constant = [](double x) { return V(static_cast<float>(x)); };
        const V round(
            12582912.0f);  // 1.5 * 2^23: a sum with it has no bits behind the point, and the integer in its lowest bits
        const float* table = sine_table().data();
        kernels::for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
            const V angle = kernels::load<Arch>(cosines + i, count), turns = angle * constant(1 / turn) + round - round;
            const V rest = angle - turns * constant(first) - turns * constant(second) - turns * constant(third);
            const V steps = rest * constant(E.n / turn) + round, beyond = rest - (steps - round) * constant(turn / E.n);
            alignas(64) std::int32_t entries[Arch::floats];
            alignas(64) float lanes[2][Arch::floats];
            Indices(isa::and_bits(Arch{}, isa::int_bits(Arch{}, steps), isa::set_int(Arch{}, E.n - 1)))
                .store_aligned(entries);
            QWEN3VL_UNROLL  // xsimd's gather is a recursion over the lanes that GCC does not inline
            for (int lane = 0; lane < Arch::floats; ++lane) {
                lanes[0][lane] = table[entries[lane]];
                lanes[1][lane] = table[entries[lane] + E.n / 4];
            }
            const V sine = kernels::load<Arch>(lanes[0]), cosine = kernels::load<Arch>(lanes[1]),
                    level = V(1.0f) - beyond * beyond * V(0.5f);
            kernels::store<Arch>(cosine * level - sine * beyond, cosines + i, count);
            kernels::store<Arch>(sine * level + cosine * beyond, sines + i, count);
        });
    }

  private:
    /// Sines of a turn and a quarter.
    using Table = std::array<float, static_cast<std::size_t>(E.n + E.n / 4)>;
    static const Table& sine_table() {
        static const Table table = [] {
            Table t;
            for (std::size_t i = 0; i < t.size(); ++i)
                t[i] = static_cast<float>(std::sin(2 * std::numbers::pi * static_cast<double>(i) / E.n));
            return t;
        }();
        return table;
    }
};

}  // namespace position
}  // namespace qwen3vl
