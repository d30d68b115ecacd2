#pragma once
#include <qwen3vl/kernels/simd.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// 2^x for x <= 126, within 2 ulp (2.1 where the target has no fused multiply-add) down to x = -126. Below, the result
/// falls to 0 with an absolute error under 2^-126; from -127 on, -infinity included, it is exactly 0. exp2(0) is
/// exactly 1. A NaN stays one.
///
/// x = n + f with n an integer and |f| <= 1/2. 2^f is a polynomial of degree 5, minimax in ulp (1.1) with the constant
/// 1; n is added to its exponent's bits. At -127 that takes the exponent of 1 to that of 0.
template <class Arch>
inline vec<Arch> exp2(vec<Arch> x) {
    const vec<Arch> round(
        12582912.0f);  // 1.5 * 2^23: a sum with it has no bits behind the point, and the integer in its lowest bits
    x = xsimd::max(vec<Arch>(-127.0f), x);
    const auto shifted = x + round, f = x - (shifted - round);
    auto p = fma<Arch>(f, vec<Arch>(1.3225707e-3f), vec<Arch>(9.6717629e-3f));
    p = fma<Arch>(f, p, vec<Arch>(5.5508914e-2f));
    p = fma<Arch>(f, p, vec<Arch>(2.4022237e-1f));
    p = fma<Arch>(f, p, vec<Arch>(6.9314683e-1f));
    p = fma<Arch>(f, p, vec<Arch>(1.0f));
    const auto n = isa::shift_left32<23>(Arch{}, isa::int_bits(Arch{}, shifted));
    return isa::float_bits(Arch{}, isa::add_int32(Arch{}, isa::int_bits(Arch{}, p), n));
}

}  // namespace qwen3vl::kernels
