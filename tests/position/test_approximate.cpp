#include <numbers>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/position/position.hpp>
#include <qwen3vl/testing/compare.hpp>
#include "arch_test.hpp"

using namespace qwen3vl;
using testing::float_roundoff;

namespace {

constexpr TextDims d = models::Qwen3VL_2B::text;
using Base = position::MRopeInterleaved;

/// Largest difference from cosines and sines of the base policy's angles, in double, at text positions.
template <class P>
double largest_error(int begin, int end, int step) {
    const auto frequencies = position::frequencies<P>(d, d.head_dim);
    std::vector<float> angles(frequencies.size()), cosines(frequencies.size()), sines(frequencies.size());
    double largest = 0;
    for (int p = begin; p < end; p += step) {
        const std::array position{p, p, p};
        position::pair_angles<P>(d, frequencies, position, angles.data());
        position::text_angles<Arch, P>(d, frequencies, position, cosines.data(), sines.data());
        for (std::size_t i = 0; i < angles.size(); ++i) {
            const double angle = static_cast<double>(angles[i]);
            largest = std::max({largest, std::abs(static_cast<double>(cosines[i]) - std::cos(angle)),
                                std::abs(static_cast<double>(sines[i]) - std::sin(angle))});
        }
    }
    return largest;
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("an approximate rotation keeps the bound that it states, at every frequency of the 2B", "",
                       ((int N), N), 16, 64, 256, 1024, 65536) {
    using P = position::Approximate<Base, Entries{N}>;
    const double bound = std::pow(std::numbers::pi / N, 3) / 6 + 10 * float_roundoff;
    const double near = largest_error<P>(0, 2000, 1), all = largest_error<P>(2000, 262145, 29),
                 far = largest_error<P>(262000, 262145, 1);
    CAPTURE(bound, near, all, far);
    CHECK(near <= bound);
    CHECK(all <= bound);
    CHECK(far <= bound);
}

TEST_CASE("an approximate rotation does not turn at position 0") {
    const auto frequencies = position::frequencies<Base>(d, d.head_dim);
    std::vector<float> cosines(frequencies.size()), sines(frequencies.size());
    position::text_angles<Arch, position::Approximate<Base>>(d, frequencies, {0, 0, 0}, cosines.data(), sines.data());
    CHECK(std::count(cosines.begin(), cosines.end(), 1.0f) == d.head_dim / 2);
    CHECK(std::count(sines.begin(), sines.end(), 0.0f) == d.head_dim / 2);
}

TEST_CASE("an approximate rotation of any number of angles writes no further") {
    for (std::size_t n = 0; n < 40; ++n) {
        std::vector<float> cosines(n + 1, 7.0f), sines(n + 1, 7.0f);
        for (std::size_t i = 0; i < n; ++i) cosines[i] = static_cast<float>(i * i);
        position::Approximate<Base>::cos_sin<Arch>(static_cast<std::int64_t>(n), cosines.data(), sines.data());
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(std::abs(static_cast<double>(cosines[i]) - std::cos(static_cast<double>(i * i))) <= 1e-6);
            CHECK(std::abs(static_cast<double>(sines[i]) - std::sin(static_cast<double>(i * i))) <= 1e-6);
        }
        CHECK((cosines[n] == 7.0f && sines[n] == 7.0f));
    }
}
