#pragma once
#include <cstdint>
#include <cstring>
#include <qwen3vl/kernels/isa_avx2.hpp>
#include <qwen3vl/kernels/isa_avx512.hpp>
#include <qwen3vl/kernels/isa_sse4_2.hpp>
#include <xsimd/xsimd.hpp>

/// Vectors of float32 by Arch, and loads and stores that widen and narrow the storage formats.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

namespace isa {  // so that the names exist where this file's flags allow no target that has them
template <class T>
void dot_bytes(T) = delete;
template <class T>
void dot_pairs(T) = delete;
}  // namespace isa

template <int Floats>
struct simd_of;
template <>
struct simd_of<4> {
    using type = xsimd::sse4_2;
};
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
template <>
struct simd_of<8> {
    using type = xsimd::fma3<xsimd::avx2>;
};
#endif
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
template <>
struct simd_of<16> {
    using type = xsimd::avx512bw;
};
#endif

/// A vector of Arch::floats float32 lanes.
template <class Arch>
using vec = xsimd::batch<float, typename simd_of<Arch::floats>::type>;

/// Loads floats from any address.
template <class Arch>
vec<Arch> load(const float* p) {
    return vec<Arch>::load_unaligned(p);
}
/// Loads and widens; exact.
template <class Arch>
vec<Arch> load(const bf16* p) {
    return isa::widen(Arch{}, p);
}
/// Loads and widens; exact.
template <class Arch>
vec<Arch> load(const std::int8_t* p) {
    return isa::widen(Arch{}, p);
}
/// Loads and widens; exact.
template <class Arch>
vec<Arch> load(const f16* p) {
    return isa::widen(Arch{}, p);
}

/// Pairs of bf16 in 32-bit lanes: those in the lower halves, then those in the upper ones.
template <class Arch, class Pairs>
void widen_pairs(Pairs pairs, vec<Arch>* out) {
    out[0] = isa::float_bits(Arch{}, isa::template shift_left32<16>(Arch{}, pairs));
    out[1] = isa::float_bits(Arch{},
                             isa::and_bits(Arch{}, pairs, isa::set_int(Arch{}, static_cast<std::int32_t>(0xffff0000))));
}

/// Stores floats to any address.
template <class Arch>
void store(vec<Arch> v, float* p) {
    v.store_unaligned(p);
}
/// Stores rounded to nearest even.
template <class Arch>
void store(vec<Arch> v, bf16* p) {
    isa::narrow(Arch{}, v, p);
}
/// Stores rounded to nearest even.
template <class Arch>
void store(vec<Arch> v, f16* p) {
    isa::narrow(Arch{}, v, p);
}

/// a b + c, rounded once where the target can.
template <class Arch>
vec<Arch> fma(vec<Arch> a, vec<Arch> b, vec<Arch> c) {
    return isa::fma(Arch{}, a, b, c);
}

/// The first n < Arch::floats elements, zeros behind them; reads nothing past them.
template <class Arch, class Element>
vec<Arch> load_first(const Element* p, std::int64_t n) {
    alignas(64) Element lanes[Arch::floats]{};
    std::memcpy(static_cast<void*>(lanes), p, static_cast<std::size_t>(n) * sizeof(Element));
    return load<Arch>(lanes);
}

/// Stores the first n < Arch::floats lanes.
template <class Arch, class Element>
void store_first(vec<Arch> v, Element* p, std::int64_t n) {
    alignas(64) Element lanes[Arch::floats];
    store<Arch>(v, lanes);
    std::memcpy(static_cast<void*>(p), lanes, static_cast<std::size_t>(n) * sizeof(Element));
}

/// Sum of the lanes, in an order fixed by Arch.
template <class Arch>
float sum_lanes(vec<Arch> v) {
    if constexpr (requires { reduce_add(v); })
        return reduce_add(v);  // found in xsimd by its argument
    else
        return hadd(v);  // its name before xsimd 9
}

/// Largest lane.
template <class Arch>
float max_lane(vec<Arch> v) {
    alignas(64) float lanes[Arch::floats];
    store<Arch>(v, lanes);
    float m = lanes[0];
    for (int i = 1; i < Arch::floats; ++i) m = lanes[i] > m ? lanes[i] : m;
    return m;
}

/// The driver of element-wise kernels: calls f(offset, count) for each vector, the tail last, where load and store
/// below obey count.
template <class Arch, class F>
void for_each_vector(std::int64_t n, F&& f) {
    std::int64_t i = 0;
    for (; i + Arch::floats <= n; i += Arch::floats) f(i, std::int64_t{Arch::floats});
    if (i < n) f(i, n - i);
}
/// Loads `count` elements; other lanes are zero.
template <class Arch, class Element>
vec<Arch> load(const Element* p, std::int64_t count) {
    return count == Arch::floats ? load<Arch>(p) : load_first<Arch>(p, count);
}
/// Stores the first `count` lanes.
template <class Arch, class Element>
void store(vec<Arch> v, Element* p, std::int64_t count) {
    if (count == Arch::floats)
        store<Arch>(v, p);
    else
        store_first<Arch>(v, p, count);
}

}  // namespace qwen3vl::kernels
