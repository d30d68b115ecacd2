#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <qwen3vl/core/half.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace half_test {

template <class Half>
Half from_bits(int bits) {
    Half h;
    h.bits = static_cast<std::uint16_t>(bits);
    return h;
}

template <class Half>
void check_round_trip() {
    int unequal = 0, nans_lost = 0;
    for (int bits = 0; bits < 65536; ++bits) {
        const float value = from_bits<Half>(bits);
        if (std::isnan(value))
            nans_lost += !std::isnan(static_cast<float>(Half(value)));
        else
            unequal += Half(value).bits != bits;
    }
    CHECK(unequal == 0);
    CHECK(nans_lost == 0);
}

/// Rounding by its definition: between two neighbouring numbers of the format the nearer, and of two equally near the
/// one whose last bit is 0. Distances are exact in double.
template <class Half>
void check_rounding(int largest_finite) {
    int wrong = 0;
    for (int bits = 0; bits < largest_finite; ++bits) {
        const double low = static_cast<float>(from_bits<Half>(bits)),
                     high = static_cast<float>(from_bits<Half>(bits + 1));
        const auto middle = static_cast<float>((low + high) / 2);
        const int even = bits % 2 == 0 ? bits : bits + 1;
        for (const float value :
             {std::nextafter(middle, 0.0f), middle, std::nextafter(middle, std::numeric_limits<float>::infinity())}) {
            const double below = static_cast<double>(value) - low, above = high - static_cast<double>(value);
            const int expected = below < above ? bits : below > above ? bits + 1 : even;
            wrong += Half(value).bits != expected;
            wrong += Half(-value).bits != (expected | 0x8000);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("every bf16 and f16 pattern survives float32") {
    check_round_trip<bf16>();
    check_round_trip<f16>();
}

TEST_CASE("16-bit floats round to nearest, ties to even") {
    check_rounding<f16>(0x7bff);
    check_rounding<bf16>(0x7f7f);
}

TEST_CASE("known 16-bit values") {
    CHECK(bf16(1.0f).bits == 0x3f80);
    CHECK(f16(1.0f).bits == 0x3c00);
    CHECK(static_cast<float>(from_bits<f16>(0x0001)) == 0x1p-24f);
    CHECK(static_cast<float>(from_bits<f16>(0x7bff)) == 65504.0f);
    CHECK(f16(65519.0f).bits == 0x7bff);
    CHECK(f16(65520.0f).bits == 0x7c00);
    CHECK(f16(1e30f).bits == 0x7c00);
    CHECK(f16(-std::numeric_limits<float>::infinity()).bits == 0xfc00);
    CHECK(bf16(std::numeric_limits<float>::max()).bits == 0x7f80);
    CHECK(std::signbit(static_cast<float>(bf16(-0.0f))));
    CHECK(std::isnan(static_cast<float>(bf16(std::numeric_limits<float>::quiet_NaN()))));
    CHECK(std::isnan(static_cast<float>(f16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace half_test
