#pragma once
#include <cmath>
#include <limits>
#include <qwen3vl/kernels/simd.hpp>

/// Kernels over one row of floats. Reductions run over vectors and then their lanes, in an order fixed by Arch alone.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// Reduces f(vector) over a row, tail padded with zeros by the loads.
template <class Arch, class F>
float reduce_row(const float* x, std::int64_t n, F&& f) {
    vec<Arch> sum(0.0f);
    for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) { sum += f(load<Arch>(x + i, count), count); });
    return sum_lanes<Arch>(sum);
}

/// out = x / sqrt(mean(x^2) + eps) * weight. out may be x.
template <class Arch>
void rms_norm_row(const float* x, const float* weight, float eps, std::int64_t n, float* out) {
    const float squares = reduce_row<Arch>(x, n, [](auto v, std::int64_t) { return v * v; });
    const vec<Arch> scale(1.0f / std::sqrt(squares / static_cast<float>(n) + eps));
    for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
        store<Arch>(load<Arch>(x + i, count) * scale * load<Arch>(weight + i, count), out + i, count);
    });
}

/// out = (x - mean) / sqrt(variance + eps) * weight + bias, variance over n. out may be x.
template <class Arch>
void layer_norm_row(const float* x, const float* weight, const float* bias, float eps, std::int64_t n, float* out) {
    const float mean = reduce_row<Arch>(x, n, [](auto v, std::int64_t) { return v; }) / static_cast<float>(n);
    const vec<Arch> m(mean);
    const float squares = reduce_row<Arch>(x, n, [&](auto v, std::int64_t count) {
        auto d = v - m;
        if (count < Arch::floats) {  // the padding's differences do not count
            alignas(64) float lanes[Arch::floats];
            store<Arch>(d, lanes);
            d = load_first<Arch>(lanes, count);
        }
        return d * d;
    });
    const vec<Arch> scale(1.0f / std::sqrt(squares / static_cast<float>(n) + eps));
    for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
        store<Arch>(fma<Arch>((load<Arch>(x + i, count) - m) * scale, load<Arch>(weight + i, count),
                              load<Arch>(bias + i, count)),
                    out + i, count);
    });
}

/// The sum of x * y.
template <class Arch>
float dot_row(const float* x, const float* y, std::int64_t n) {
    vec<Arch> sum(0.0f);
    for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
        sum = fma<Arch>(load<Arch>(x + i, count), load<Arch>(y + i, count), sum);
    });
    return sum_lanes<Arch>(sum);
}

/// y += x.
template <class Arch>
void add_row(const float* x, std::int64_t n, float* y) {
    for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
        store<Arch>(load<Arch>(y + i, count) + load<Arch>(x + i, count), y + i, count);
    });
}

/// y += s * x.
template <class Arch>
void add_scaled_row(float s, const float* x, std::int64_t n, float* y) {
    const vec<Arch> factor(s);
    for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
        store<Arch>(fma<Arch>(factor, load<Arch>(x + i, count), load<Arch>(y + i, count)), y + i, count);
    });
}

/// y *= s.
template <class Arch>
void scale_row(float s, std::int64_t n, float* y) {
    const vec<Arch> factor(s);
    for_each_vector<Arch>(
        n, [&](std::int64_t i, std::int64_t count) { store<Arch>(load<Arch>(y + i, count) * factor, y + i, count); });
}

/// Largest element; -infinity for an empty row.
template <class Arch>
float max_row(const float* x, std::int64_t n) {
    float m = -std::numeric_limits<float>::infinity();
    std::int64_t i = 0;
    if (n >= Arch::floats) {
        auto v = load<Arch>(x);
        for (i = Arch::floats; i + Arch::floats <= n; i += Arch::floats) v = xsimd::max(v, load<Arch>(x + i));
        m = max_lane<Arch>(v);
    }
    for (; i < n; ++i) m = x[i] > m ? x[i] : m;
    return m;
}

/// x = exp(x - shift), and the sum of the results. -infinity becomes 0.
template <class Arch>
float exp_row(float* x, float shift, std::int64_t n) {
    const vec<Arch> s(shift);
    vec<Arch> sum(0.0f);
    for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
        auto e = xsimd::exp(load<Arch>(x + i, count) - s);
        store<Arch>(e, x + i, count);
        if (count < Arch::floats) e = load_first<Arch>(x + i, count);  // the padding's exponentials do not count
        sum += e;
    });
    return sum_lanes<Arch>(sum);
}

/// Rotates the pairs (x[i], x[i + half]) by angles given as cosines and sines: the rotate-half convention of
/// `apply_rotary_pos_emb` (modeling_qwen3_vl.py). x and out hold 2 * half floats; out may be x.
template <class Arch>
void rotate_row(const float* x, const float* cosines, const float* sines, std::int64_t half, float* out) {
    for_each_vector<Arch>(half, [&](std::int64_t i, std::int64_t count) {
        const auto a = load<Arch>(x + i, count), b = load<Arch>(x + half + i, count);
        const auto c = load<Arch>(cosines + i, count), s = load<Arch>(sines + i, count);
        store<Arch>(a * c - b * s, out + i, count);
        store<Arch>(b * c + a * s, out + half + i, count);
    });
}

}  // namespace qwen3vl::kernels
