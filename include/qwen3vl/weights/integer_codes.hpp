#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <qwen3vl/core/half.hpp>
#include <qwen3vl/kernels/integer_tile.hpp>
#include <qwen3vl/weights/formats.hpp>

/// The integer formats one by one: how codes lie, how a group of weights becomes codes and scales, and how a kernel
/// gets both back.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// One byte a code.
struct ByteCodes {
    static constexpr int quads = 1;  ///< groups of four columns in a vector
    template <class Arch>
    static void expand(kernels::ivec<Arch> v, kernels::ivec<Arch>* out) {
        out[0] = v;
    }
    static int get(const std::byte* lane, int, int column) { return std::to_integer<int>(lane[column]); }
};

/// Two codes a byte: the first four columns in the lower halves of a lane, the next four in the upper halves.
struct NibbleCodes {
    static constexpr int quads = 2;
    template <class Arch>
    static void expand(kernels::ivec<Arch> v, kernels::ivec<Arch>* out) {
        const auto mask = kernels::isa::set_int(Arch{}, 0x0f0f0f0f);
        out[0] = kernels::isa::and_bits(Arch{}, v, mask);
        out[1] = kernels::isa::and_bits(Arch{}, kernels::isa::template shift_right16<4>(Arch{}, v), mask);
    }
    static int get(const std::byte* lane, int quad, int column) {
        return std::to_integer<int>(lane[column] >> (4 * quad)) & 15;
    }
};

/// The quantiles of the normal distribution that NF4 maps its codes to (Dettmers et al., 2023, appendix E;
/// bitsandbytes' table).
inline constexpr std::array<float, 16> nf4_quantiles = {-1.0f,
                                                        -0.6961928009986877f,
                                                        -0.5250730514526367f,
                                                        -0.39491748809814453f,
                                                        -0.28444138169288635f,
                                                        -0.18477343022823334f,
                                                        -0.09105003625154495f,
                                                        0.0f,
                                                        0.07958029955625534f,
                                                        0.16093020141124725f,
                                                        0.24611230194568634f,
                                                        0.33791524171829224f,
                                                        0.44070982933044434f,
                                                        0.5626170039176941f,
                                                        0.7229568362236023f,
                                                        1.0f};
/// The codebook that is computed with: the quantiles in units of 1/127, rounded, 128 added so that they are unsigned.
inline constexpr std::array<std::uint8_t, 16> nf4_codebook = [] {
    std::array<std::uint8_t, 16> out{};
    for (std::size_t i = 0; i < 16; ++i)
        out[i] = static_cast<std::uint8_t>(
            128 + static_cast<int>(nf4_quantiles[i] * 127 + (nf4_quantiles[i] < 0 ? -0.5f : 0.5f)));
    return out;
}();

/// Two codes a byte, each an index of nf4_codebook.
struct Nf4Codes : NibbleCodes {
    template <class Arch>
    static void expand(kernels::ivec<Arch> v, kernels::ivec<Arch>* out) {
        const auto table =
            kernels::isa::spread(Arch{}, _mm_loadu_si128(reinterpret_cast<const __m128i*>(nf4_codebook.data())));
        NibbleCodes::expand<Arch>(v, out);
        for (int i = 0; i < quads; ++i) out[i] = kernels::isa::lookup(Arch{}, table, out[i]);
    }
};

/// Scale and minimum of a group of weights, as get_scale() and get_minimum() give them back.
struct GroupScale {
    float scale = 0.0f, minimum = 0.0f;
};

/// Traits of an integer format, for IntegerPanels. Members:
///   Codes, Kind                    the layout of codes; the kernels' arithmetic
///   group                          columns to a weight scale, 0: the row
///   zero                           the code of 0 where there is no minimum
///   lowest, highest                the codes' range
///   x_unit                         factor of the activations' scales, for codes that are no whole numbers
///   fit(w, n)                      scale (and minimum) for a group of n weights
///   encode(v, g), decode(code, g)  a weight's code, and the weight that a code stands for
template <class Format>
struct integer_format;

namespace detail {
inline float largest(const float* w, std::int64_t n) {
    float m = 0.0f;
    for (std::int64_t i = 0; i < n; ++i) m = std::max(m, std::abs(w[i]));
    return m;
}
inline int clamp_round(float v, int low, int high) {
    return static_cast<int>(std::nearbyint(std::clamp(v, static_cast<float>(low), static_cast<float>(high))));
}
/// Below this a scale counts as zero: its inverse would not be finite.
inline constexpr float least_scale = 1e-37f;
inline float inverse(float v) { return std::abs(v) >= least_scale ? 1.0f / v : 0.0f; }
constexpr float nf4_midpoint(std::size_t i) { return 0.5f * (nf4_quantiles[i] + nf4_quantiles[i + 1]); }
}  // namespace detail

template <Group G>
struct integer_format<Int8<G>> {
    static_assert(G.columns == 0 || G.columns == 32 || G.columns == 64 || G.columns == 128,
                  "qwen3vl: weights::Int8: groups have 32, 64 or 128 columns");
    using Codes = ByteCodes;
    using Kind = kernels::IntegerKind<false, (G.columns > 0), false>;
    static constexpr int group = G.columns, zero = 128, lowest = 1, highest = 255;
    static constexpr float x_unit = 1.0f;
    static constexpr Scales scales = Scales::f16;
    static GroupScale fit(const float* w, std::int64_t n) { return {detail::largest(w, n) / 127.0f}; }
    static int encode(float v, const GroupScale& g) {
        return zero + detail::clamp_round(v * detail::inverse(g.scale), lowest - zero, highest - zero);
    }
    static float decode(int code, const GroupScale& g) { return static_cast<float>(code - zero) * g.scale; }
};

template <Group G, ZeroPoint C>
struct integer_format<Int4<G, C>> {
    static_assert(G.columns == 32 || G.columns == 64 || G.columns == 128,
                  "qwen3vl: weights::Int4: groups have 32, 64 or 128 columns");
    using Codes = NibbleCodes;
    using Kind = kernels::IntegerKind<true, true, C == ZeroPoint::asymmetric>;
    static constexpr int group = G.columns, zero = C == ZeroPoint::symmetric ? 8 : 0, lowest = 0, highest = 15;
    static constexpr float x_unit = 1.0f;
    static constexpr Scales scales = Scales::f16;
    static GroupScale fit(const float* w, std::int64_t n) {
        const auto [low, high] = std::minmax_element(w, w + n);
        if constexpr (C == ZeroPoint::asymmetric)
            return {(*high - *low) / 15.0f, *low};
        else
            return {(-*low > *high ? *low : *high) / -8.0f};  // the largest magnitude becomes code 0
    }
    static int encode(float v, const GroupScale& g) {
        return zero + detail::clamp_round((v - g.minimum) * detail::inverse(g.scale), lowest - zero, highest - zero);
    }
    static float decode(int code, const GroupScale& g) { return static_cast<float>(code - zero) * g.scale + g.minimum; }
};

template <Scales S>
struct integer_format<NF4<S>> {
    using Codes = Nf4Codes;
    using Kind = kernels::IntegerKind<false, true, false>;
    static constexpr int group = 64, zero = 128, lowest = 1, highest = 255;
    static constexpr float x_unit = 1.0f / 127.0f;
    static constexpr Scales scales = S;
    static GroupScale fit(const float* w, std::int64_t n) { return {detail::largest(w, n)}; }
    static int encode(float v, const GroupScale& g) {
        const float x = v * detail::inverse(g.scale);
        int code = 0;
        for (std::size_t i = 0; i + 1 < 16; ++i) code += x > detail::nf4_midpoint(i);
        return code;
    }
    static float decode(int code, const GroupScale& g) {
        return static_cast<float>(nf4_codebook[static_cast<std::size_t>(code)] - zero) * x_unit * g.scale;
    }
};

}  // namespace qwen3vl::weights
