#include "test_dense.hpp"

using namespace qwen3vl;
using namespace qwen3vl_test;

using Formats = std::tuple<weights::Int8<>, weights::Int8<Group{32}>, weights::Int8<Group{128}>, weights::Int4<>,
                           weights::Int4<Group{128}>, weights::Int4<Group{32}, weights::ZeroPoint::asymmetric>,
                           weights::NF4<>, weights::NF4<weights::Scales::bits8>>;

namespace {

float half(float v) { return static_cast<float>(f16(v)); }

/// A row through the format's plain code, group by group.
template <class Format>
std::vector<float> rounded(const float* w, std::int64_t cols) {
    using F = weights::integer_format<Format>;
    const std::int64_t group = F::group > 0 ? F::group : cols;
    std::vector<weights::GroupScale> scales;
    for (std::int64_t c = 0; c < cols; c += group) scales.push_back(F::fit(w + c, std::min(group, cols - c)));
    if (F::scales == weights::Scales::bits8) {
        const auto by_scale = [](const auto& a, const auto& b) { return a.scale < b.scale; };
        const auto [low, high] = std::minmax_element(scales.begin(), scales.end(), by_scale);
        const float first = low->scale, step = (high->scale - first) / 255.0f;
        for (auto& g : scales)
            g.scale = std::fma(std::nearbyint((g.scale - first) * weights::detail::inverse(step)), step, first);
    } else if (F::group > 0) {
        for (auto& g : scales) g = {half(g.scale), half(g.minimum)};
    }
    std::vector<float> out;
    for (std::int64_t c = 0; c < cols; ++c) {
        const auto& g = scales[static_cast<std::size_t>(c / group)];
        out.push_back(F::decode(F::encode(w[c], g), g));
    }
    return out;
}

/// Mean products of the rows of x [n, cols], as a calibration file holds them.
weights::InputGram gram_of(const std::vector<float>& x, std::int64_t cols, std::int64_t block) {
    weights::InputGram m{"file", "w", std::vector<float>(static_cast<std::size_t>(cols * block)), cols, block};
    const auto n = static_cast<std::int64_t>(x.size()) / cols;
    for (std::int64_t i = 0; i < cols; ++i)
        for (std::int64_t j = i / block * block; j < std::min(cols, i / block * block + block); ++j)
            for (std::int64_t r = 0; r < n; ++r)
                m.values[static_cast<std::size_t>(i * block + j % block)] += x[static_cast<std::size_t>(r * cols + i)] *
                                                                             x[static_cast<std::size_t>(r * cols + j)] /
                                                                             static_cast<float>(n);
    return m;
}

/// Sum of the squares of x · (a - b)^T.
double output_error(const std::vector<float>& x, const std::vector<float>& a, const std::vector<float>& b,
                    std::int64_t cols) {
    double sum = 0;
    const auto k = static_cast<std::size_t>(cols);
    for (std::size_t r = 0; r < x.size(); r += k)
        for (std::size_t o = 0; o < a.size(); o += k) {
            double e = 0;
            for (std::size_t c = 0; c < k; ++c)
                e += static_cast<double>(x[r + c]) * (static_cast<double>(a[o + c]) - static_cast<double>(b[o + c]));
            sum += e * e;
        }
    return sum;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("packing many rows at once rounds as the plain code does", "", Formats) {
    execution::Threads<>::Team team(2);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
        for (const auto& [rows, cols] :
             {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {17, 64}, {33, 190}, {5, 1100}}) {
            CAPTURE(TestType::name, dtype_name(dtype), rows, cols);
            auto values = testing::Rng(7).floats(static_cast<std::size_t>(rows * cols), 0.3f);
            for (std::size_t i = 0; i < values.size(); i += 13) values[i] *= 40.0f;  // groups of different ranges
            for (std::int64_t c = 0; c < cols; ++c) values[static_cast<std::size_t>(c)] *= 1e-6f;
            const StoredTensor stored(values, dtype, rows, dtype == DType::f32 ? 1 : 0);
            weights::read_values(stored.view, 0, rows * cols, values.data());
            const auto found = dequantised<TestType>(weights::load<Arch, TestType>(stored.view, "w", rows, cols, team));
            std::vector<float> expected;
            for (std::int64_t r = 0; r < rows; ++r) {
                const auto row = rounded<TestType>(values.data() + r * cols, cols);
                expected.insert(expected.end(), row.begin(), row.end());
            }
            // the same codes and scales; code * scale + minimum may be compiled to a fused multiply-add at one place
            // and not at the other
            std::int64_t different = 0;
            for (std::int64_t r = 0; r < rows; ++r) {
                const float largest = weights::detail::largest(values.data() + r * cols, cols);
                for (auto i = static_cast<std::size_t>(r * cols); i < static_cast<std::size_t>((r + 1) * cols); ++i)
                    different += !(std::abs(found[i] - expected[i]) <=
                                   4 * static_cast<float>(testing::float_roundoff) * largest);
            }
            CHECK(different == 0);
        }
}

TEMPLATE_LIST_TEST_CASE("rounding by the moments of the inputs brings outputs nearer", "", Formats) {
    execution::Threads<>::Team team(2);
    const std::int64_t rows = 35, cols = 200, samples = 300;
    testing::Rng rng(21);
    const auto w = rng.floats(static_cast<std::size_t>(rows * cols));
    // inputs that depend on each other, of different sizes: a few common causes, and each column's own part
    const std::int64_t causes = 24;
    const auto mix = rng.floats(static_cast<std::size_t>(causes * cols)),
               size = rng.floats(static_cast<std::size_t>(cols));
    const auto inputs = [&](std::int64_t n) {
        std::vector<float> x(static_cast<std::size_t>(n * cols));
        for (std::int64_t r = 0; r < n; ++r) {
            const auto cause = rng.floats(static_cast<std::size_t>(causes)),
                       own = rng.floats(static_cast<std::size_t>(cols), 0.3f);
            for (std::int64_t c = 0; c < cols; ++c) {
                float v = own[static_cast<std::size_t>(c)];
                for (std::int64_t k = 0; k < causes; ++k)
                    v += cause[static_cast<std::size_t>(k)] * mix[static_cast<std::size_t>(k * cols + c)];
                x[static_cast<std::size_t>(r * cols + c)] = v * (0.2f + std::abs(size[static_cast<std::size_t>(c)]));
            }
        }
        return x;
    };
    const auto seen = inputs(samples), others = inputs(samples);
    const StoredTensor stored(w, DType::f32, rows);
    const auto nearest = dequantised<TestType>(weights::load<Arch, TestType>(stored.view, "w", rows, cols, team));
    for (const std::int64_t block : {128, 256}) {
        const auto moments = gram_of(seen, cols, block);
        const auto calibrated =
            dequantised<TestType>(weights::load<Arch, TestType>(stored.view, "w", rows, cols, team, &moments));
        const double ratio = output_error(others, calibrated, w, cols) / output_error(others, nearest, w, cols);
        CAPTURE(TestType::name, block, ratio);
        CHECK(ratio < 0.6);  // on inputs it has not seen; 0.25 to 0.5 is usual
    }
    execution::Serial::Team alone(1);
    const auto moments = gram_of(seen, cols, 128);
    CHECK(testing::same_bits(
        dequantised<TestType>(weights::load<Arch, TestType>(stored.view, "w", rows, cols, alone, &moments)),
        dequantised<TestType>(weights::load<Arch, TestType>(stored.view, "w", rows, cols, team, &moments))));
}

TEMPLATE_LIST_TEST_CASE("searched scales are never worse than those of rounding to nearest", "", Formats) {
    using Lanes = weights::IntegerLanes<Arch, TestType>;
    testing::Rng rng(5);
    const std::int64_t n = 32;
    const auto keep = [](const weights::LaneScale<Arch>& g) { return g; };
    double gain = 0;
    for (int i = 0; i < 20; ++i) {
        const auto w = rng.floats(static_cast<std::size_t>(n * Arch::floats));
        auto importance = rng.floats(static_cast<std::size_t>(n));
        for (float& v : importance) v *= v;
        const auto nearest = Lanes::error(w.data(), importance.data(), n, Lanes::fit(w.data(), n));
        const auto searched =
            Lanes::error(w.data(), importance.data(), n, Lanes::search(w.data(), importance.data(), n, keep));
        CHECK(xsimd::all(searched <= nearest));
        gain += static_cast<double>(kernels::sum_lanes<Arch>(searched) / kernels::sum_lanes<Arch>(nearest)) / 20;
    }
    CHECK(gain < 0.9);
}

TEST_CASE("moments that no inputs can have are refused") {
    execution::Serial::Team team(1);
    const StoredTensor stored(std::vector<float>(8, 1.0f), DType::f32, 2);
    weights::InputGram m{"calibration.safetensors", "w", std::vector<float>(4 * 128), 4, 128};
    for (std::size_t i = 0; i < 4; ++i) m.values[i * 128 + i] = 1.0f;
    CHECK_NOTHROW(weights::load<Arch, weights::Int4<>>(stored.view, "w", 2, 4, team, &m));
    m.values[1] = m.values[128] = 3.0f;
    CHECK_THROWS_AS((weights::load<Arch, weights::Int4<>>(stored.view, "w", 2, 4, team, &m)), LoadError);
    CHECK_THROWS_WITH((weights::load<Arch, weights::Int4<>>(stored.view, "w", 2, 4, team, &m)),
                      Catch::Contains("calibration.safetensors") && Catch::Contains("semidefinite"));
    std::fill(m.values.begin(), m.values.end(), 0.0f);  // inputs that were always zero
    CHECK(dequantised<weights::Int8<>>(weights::load<Arch, weights::Int8<>>(stored.view, "w", 2, 4, team, &m)) ==
          std::vector<float>(8, 1.0f));
}

TEST_CASE("a transposed block has every number in its place") {
    for (const std::int64_t columns : {1, 3, 4, 5, 16, 19}) {
        constexpr int rows = Arch::floats;
        const std::int64_t stride = columns + 2;
        const auto in = testing::Rng(1).floats(static_cast<std::size_t>(rows * stride));
        std::vector<float> out(static_cast<std::size_t>(rows * columns), 9.0f);
        kernels::transpose<rows>(reinterpret_cast<const std::byte*>(in.data()), stride, columns,
                                 reinterpret_cast<std::byte*>(out.data()));
        for (std::int64_t c = 0; c < columns; ++c)
            for (std::int64_t r = 0; r < rows; ++r)
                CHECK(out[static_cast<std::size_t>(c * rows + r)] == in[static_cast<std::size_t>(r * stride + c)]);
    }
}

TEST_CASE("bfloat16 panels keep what is no number") {
    execution::Serial::Team team(1);
    const StoredTensor stored({1.0f, std::nanf(""), HUGE_VALF, -2.0f}, DType::f32, 2);
    const auto found = dequantised<weights::Bf16>(weights::load<Arch, weights::Bf16>(stored.view, "w", 2, 2, team));
    CHECK(found[0] == 1.0f);
    CHECK(std::isnan(found[1]));
    CHECK(found[2] == HUGE_VALF);
    CHECK(found[3] == -2.0f);
}
