#include "test_dense.hpp"

using namespace qwen3vl;
using namespace qwen3vl_test;

namespace {

/// A format of floats, and the type of a checkpoint that it keeps as it is.
template <class F, DType D>
struct Case {
    using Format = F;
    static constexpr DType dtype = D;
};
using Cases =
    std::tuple<Case<weights::Float32, DType::f32>, Case<weights::Bf16, DType::bf16>, Case<weights::F16, DType::f16>,
               Case<weights::Mapped<weights::Float32>, DType::f32>, Case<weights::Mapped<weights::Bf16>, DType::bf16>,
               Case<weights::Mapped<weights::F16>, DType::f16>>;

float kept(float v, DType dtype) {
    weights::with_element(dtype, [&]<class T>(T) { v = static_cast<float>(T(v)); });
    return v;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a format keeps what a checkpoint of any dtype holds", "", Cases) {
    using Format = typename TestType::Format;
    using Traits = weights::traits<Format>;
    execution::Serial::Team team(1);
    const std::int64_t rows = 21, cols = 19;
    const auto values = testing::Rng(1).floats(static_cast<std::size_t>(rows * cols));
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
        for (std::size_t offset : {0u, 1u, 2u}) {
            CAPTURE(Format::name, dtype_name(dtype), offset);
            const StoredTensor stored(values, dtype, rows, offset);
            const auto m = weights::load<Arch, Format>(stored.view, "w", rows, cols, team);
            CHECK(m.rows() == rows);
            CHECK(m.cols() == cols);
            const bool aligned = offset % dtype_bytes(dtype) == 0;
            CHECK((m.data() == stored.view.data) == (Traits::is_mapped(dtype) && aligned));
            std::vector<float> expected;
            for (const float v : values) expected.push_back(kept(kept(v, dtype), TestType::dtype));
            CHECK(dequantised<Format>(m) == expected);
        }
}

TEMPLATE_LIST_TEST_CASE("dense layers equal their oracle and depend on neither rows nor threads", "", Cases) {
    using Format = typename TestType::Format;
    check_dense<Format>([](std::int64_t m, std::int64_t n, std::int64_t k, const weights::WeightMatrix& matrix,
                           const std::vector<float>& x, const std::vector<float>& y) {
        // a rounding for each product and addition of a block, and one for each block; where activations become
        // bfloat16, that rounding
        const double depth =
            4 + static_cast<double>(std::min<std::int64_t>(k, weights::float_block) + k / weights::float_block);
        const bool narrow = Arch::dot_bf16 && std::is_same_v<Format, weights::Bf16>;
        CHECK(is_product(y, x, m, dequantised<Format>(matrix), n, k,
                         depth * testing::float_roundoff + (narrow ? 1.0 / 256 : 0)));
    });
}

TEST_CASE("several matrices in one run of tasks") {
    using Format = weights::Float32;
    execution::Threads<>::Team team(2);
    const std::int64_t m = 3, k = 24;
    testing::Rng rng(11);
    const auto x = rng.floats(static_cast<std::size_t>(m * k));
    const std::int64_t heights[] = {130, 64, 7};
    std::vector<weights::WeightMatrix> matrices;
    std::vector<std::vector<float>> expected, found;
    for (const auto n : heights) {
        const StoredTensor stored(rng.floats(static_cast<std::size_t>(n * k)), DType::f32, n);
        matrices.push_back(weights::load<Arch, Format>(stored.view, "w", n, k, team));
        found.emplace_back(static_cast<std::size_t>(m * n));
        expected.push_back(product<Arch, Format>(team, x, m, matrices.back()));
    }
    const EncodedRows<Arch, Format, execution::Threads<>::Team> in(team, {x.data(), m, k, k});
    const std::array<const weights::WeightMatrix*, 3> all{&matrices[0], &matrices[1], &matrices[2]};
    weights::linear<Arch, Format>(
        team, in.input, all,
        [&](int which, std::int64_t row, std::int64_t first, std::int64_t count, const float* values) {
            const auto w = static_cast<std::size_t>(which);
            std::copy_n(values, count, found[w].data() + row * heights[w] + first);
        });
    for (std::size_t i = 0; i < 3; ++i) CHECK(testing::same_bits(found[i], expected[i]));
    std::vector<float> sums(static_cast<std::size_t>(m * 130)), twice(sums.size());
    weights::linear_pair<Arch, Format>(
        team, in.input, matrices[0], matrices[0],
        [&](std::int64_t row, std::int64_t first, std::int64_t count, const float* a, const float* b) {
            for (std::int64_t i = 0; i < count; ++i)
                sums[static_cast<std::size_t>(row * 130 + first + i)] = a[i] + b[i];
        });
    for (std::size_t i = 0; i < twice.size(); ++i) twice[i] = 2 * expected[0][i];
    CHECK(testing::same_bits(sums, twice));
    std::vector<float> added(static_cast<std::size_t>(m * 7), 2.0f);
    const std::vector<float> bias(7, 0.75f);
    weights::linear_add<Arch, Format>(team, in.input, matrices[2], bias.data(), Matrix(added.data(), m, 7));
    for (std::size_t i = 0; i < added.size(); ++i) CHECK(added[i] == Approx(expected[2][i] + 2.75f));
}

TEMPLATE_TEST_CASE("f16 refuses what it cannot hold", "", weights::F16, weights::Mapped<weights::F16>) {
    execution::Serial::Team team(1);
    for (const DType dtype : {DType::f32, DType::bf16}) {
        const StoredTensor fits({65504.0f * (dtype == DType::f32), 1.0f}, dtype, 1);
        CHECK_NOTHROW(weights::load<Arch, TestType>(fits.view, "w", 1, 2, team));
        const StoredTensor lost({1.0f, 70000.0f}, dtype, 1);
        CHECK_THROWS_AS((weights::load<Arch, TestType>(lost.view, "w", 1, 2, team)), LoadError);
        CHECK_THROWS_WITH((weights::load<Arch, TestType>(lost.view, "w", 1, 2, team)),
                          Catch::Contains("test.safetensors") && Catch::Contains("'w'") && Catch::Contains("65504"));
    }
}
