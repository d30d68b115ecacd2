#include <qwen3vl/kernels/simd.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include "arch_test.hpp"

using namespace qwen3vl;

namespace simd_test {

/// All finite bit patterns of a 16-bit format, in an array whose length is a multiple of every vector.
template <class Element>
std::vector<Element> finite_patterns() {
    std::vector<Element> all;
    for (int bits = 0; bits < 65536; ++bits) {
        Element e;
        e.bits = static_cast<std::uint16_t>(bits);
        if (std::isfinite(static_cast<float>(e))) all.push_back(e);
    }
    all.resize((all.size() + 15) / 16 * 16);
    return all;
}

template <class Element>
void check_widening() {
    const auto all = finite_patterns<Element>();
    std::size_t unequal = 0;
    for (std::size_t i = 0; i < all.size(); i += Arch::floats) {
        float lanes[Arch::floats];
        kernels::store<Arch>(kernels::load<Arch>(all.data() + i), lanes);
        for (std::size_t k = 0; k < Arch::floats; ++k) unequal += lanes[k] != static_cast<float>(all[i + k]);
    }
    CHECK(unequal == 0);
}

TEST_CASE("vectors widen every finite 16-bit float exactly") {
    check_widening<bf16>();
    check_widening<f16>();
}

TEST_CASE("vectors narrow to bf16 as the scalar conversion does") {
    testing::Rng rng(1);
    std::size_t unequal = 0;
    for (int round = 0; round < 20000; ++round) {
        float lanes[Arch::floats];
        bf16 found[Arch::floats];
        for (float& x : lanes) {
            do x = std::bit_cast<float>(static_cast<std::uint32_t>(rng.bits()));
            while (!std::isfinite(x));
            if (round % 4 == 0)
                x = std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) & 0xffff0000u) | 0x8000u);  // a tie
        }
        kernels::store<Arch>(kernels::load<Arch>(lanes), found);
        for (std::size_t k = 0; k < Arch::floats; ++k) unequal += found[k].bits != bf16(lanes[k]).bits;
    }
    CHECK(unequal == 0);
}

TEST_CASE("the tail's loads and stores touch their elements only") {
    for (std::int64_t n = 1; n < Arch::floats; ++n) {
        const std::vector<float> in =
            testing::Rng(2).floats(static_cast<std::size_t>(n));  // exactly as long: a sanitizer sees a read past it
        const auto v = kernels::load_first<Arch>(in.data(), n);
        float lanes[Arch::floats];
        kernels::store<Arch>(v, lanes);
        for (std::int64_t i = 0; i < Arch::floats; ++i)
            CHECK(lanes[i] == (i < n ? in[static_cast<std::size_t>(i)] : 0.0f));
        std::vector<float> out(Arch::floats, 7.0f);
        kernels::store_first<Arch>(v, out.data(), n);
        for (std::int64_t i = 0; i < Arch::floats; ++i)
            CHECK(out[static_cast<std::size_t>(i)] == (i < n ? in[static_cast<std::size_t>(i)] : 7.0f));
    }
}

TEST_CASE("for_each_vector covers a row once, its tail last") {
    for (std::int64_t n = 0; n <= 4 * Arch::floats; ++n) {
        std::int64_t next = 0;
        kernels::for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
            CHECK(i == next);
            CHECK((count == Arch::floats || i + count == n));
            next = i + count;
        });
        CHECK(next == n);
    }
}

TEST_CASE("sum_lanes and max_lane see every lane") {
    for (std::size_t lane = 0; lane < Arch::floats; ++lane) {
        float lanes[Arch::floats] = {};
        lanes[lane] = 3.0f;
        CHECK(kernels::sum_lanes<Arch>(kernels::load<Arch>(lanes)) == 3.0f);
        CHECK(kernels::max_lane<Arch>(kernels::load<Arch>(lanes)) == 3.0f);
    }
}

}  // namespace simd_test
