#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include <qwen3vl/weights/linear.hpp>
#include "arch_test.hpp"

using namespace qwen3vl;
using testing::float_roundoff;

namespace {

/// A tensor as a file would hold it, `offset` bytes from an aligned address.
struct StoredTensor {
    std::vector<std::byte> memory;
    TensorView view;

    StoredTensor(const std::vector<float>& values, DType dtype, std::int64_t rows, std::size_t offset = 0)
        : memory(values.size() * dtype_bytes(dtype) + offset) {
        view = {dtype, {rows, static_cast<std::int64_t>(values.size()) / rows}, memory.data() + offset, "test.safetensors"};
        std::byte* out = memory.data() + offset;
        for (const float v : values)
            weights::with_element(dtype, [&]<class T>(T) {
                const T element(v);
                std::memcpy(out, static_cast<const void*>(&element), sizeof element);
                out += sizeof element;
            });
    }
};

/// A number as the dtype, and then the format, keep it.
float kept(float v, DType dtype) {
    weights::with_element(dtype, [&]<class T>(T) { v = static_cast<float>(T(v)); });
    return v;
}

template <class Format>
constexpr DType own_dtype = std::is_same_v<Format, weights::Float32> ? DType::f32
                            : std::is_same_v<Format, weights::F16>   ? DType::f16
                                                                     : DType::bf16;

/// x · w^T in double with the bound of the float32 sum's error for each result.
struct Product {
    std::vector<double> values, bounds;
    Product(const std::vector<float>& x, std::int64_t m, const std::vector<float>& w, std::int64_t n, std::int64_t k) {
        for (std::int64_t i = 0; i < m; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
                double sum = 0, magnitude = 0;
                for (std::int64_t c = 0; c < k; ++c) {
                    const double product = static_cast<double>(x[static_cast<std::size_t>(i * k + c)]) * w[static_cast<std::size_t>(j * k + c)];
                    sum += product;
                    magnitude += std::abs(product);
                }
                values.push_back(sum);
                // the product, the sum over vectors and lanes, one addition for each panel of 1024 columns, and the two of bias and residual
                bounds.push_back((4 + qwen3vl_test::sum_depth(k)) * float_roundoff * (magnitude + 4));
            }
    }
    bool holds(const std::vector<float>& found, double offset = 0) const {
        for (std::size_t i = 0; i < values.size(); ++i)
            if (!(std::abs(found[i] - (values[i] + offset)) <= bounds[i])) return false;
        return found.size() == values.size();
    }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a format keeps what a checkpoint of any dtype holds", "", testing::tuple_t<weights::all>) {
    using Format = typename TestType::type;
    using Traits = weights::traits<Format>;
    execution::Serial::Team team(1);
    const std::int64_t rows = 5, cols = 19;
    const auto values = testing::Rng(1).floats(static_cast<std::size_t>(rows * cols));
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
        for (std::size_t offset : {0u, 1u, 2u}) {
            CAPTURE(Format::name, dtype_name(dtype), offset);
            const StoredTensor stored(values, dtype, rows, offset);
            const auto m = Traits::load(stored.view, "w", rows, cols, team);
            CHECK(m.rows() == rows);
            CHECK(m.cols() == cols);
            CHECK(Traits::is_mapped(dtype) == (dtype == own_dtype<Format>));
            const bool aligned = offset % dtype_bytes(dtype) == 0;
            CHECK((static_cast<const void*>(m.row(0)) == stored.view.data) == (Traits::is_mapped(dtype) && aligned));
            std::vector<float> row(static_cast<std::size_t>(cols));
            std::size_t unequal = 0;
            for (std::int64_t r = 0; r < rows; ++r) {
                Traits::template row<Arch>(m, r, row.data());
                for (std::size_t c = 0; c < row.size(); ++c)
                    unequal += row[c] != kept(kept(values[static_cast<std::size_t>(r * cols) + c], dtype), own_dtype<Format>);
            }
            CHECK(unequal == 0);
        }
    CHECK(Traits::bytes(rows, cols) == rows * cols * static_cast<std::int64_t>(dtype_bytes(own_dtype<Format>)));
}

TEMPLATE_LIST_TEST_CASE("dense layers equal their oracle and depend on neither rows nor threads", "", testing::tuple_t<weights::all>) {
    using Format = typename TestType::type;
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto check = [&](std::int64_t m, std::int64_t n, std::int64_t k) {
        CAPTURE(Format::name, m, n, k);
        testing::Rng rng(static_cast<std::uint64_t>(m + n + k));
        auto w = rng.floats(static_cast<std::size_t>(n * k));
        for (float& v : w) v = kept(v, own_dtype<Format>);
        const auto x = rng.floats(static_cast<std::size_t>(m * k));
        const StoredTensor stored(w, own_dtype<Format>, n);
        const auto matrix = weights::traits<Format>::load(stored.view, "w", n, k, serial);
        const Product product(x, m, w, n, k);
        const ConstMatrix in{x.data(), m, k, k};
        std::vector<float> plain(static_cast<std::size_t>(m * n), 9.0f), again(plain.size(), 9.0f);
        weights::linear_store<Arch, Format>(serial, in, matrix, nullptr, Matrix(plain.data(), m, n));
        weights::linear_store<Arch, Format>(threads, in, matrix, nullptr, Matrix(again.data(), m, n));
        CHECK(product.holds(plain));
        CHECK(testing::same_bits(plain, again));
        for (std::int64_t i = 0; i < m; ++i)
            weights::linear_store<Arch, Format>(serial, {x.data() + i * k, 1, k, k}, matrix, nullptr, Matrix(again.data() + i * n, 1, n));
        CHECK(testing::same_bits(plain, again));
        const std::vector<float> bias(static_cast<std::size_t>(n), 0.75f);
        weights::linear_store<Arch, Format>(serial, in, matrix, bias.data(), Matrix(again.data(), m, n));
        CHECK(product.holds(again, 0.75));
        std::fill(again.begin(), again.end(), 2.0f);
        weights::linear_add<Arch, Format>(threads, in, matrix, bias.data(), Matrix(again.data(), m, n));
        CHECK(product.holds(again, 2.75));
    };
    check(1, 1, 1);
    for (std::int64_t k = 15; k <= 33; ++k) check(2, 3, k);
    for (std::int64_t n : {63, 64, 65, 129}) check(3, n, 21);
    for (std::int64_t m : {6, 95, 96, 97, 193}) check(m, 5, 40);
    check(2, 70, 1030);
}

TEMPLATE_LIST_TEST_CASE("several matrices in one run of tasks", "", testing::tuple_t<weights::all>) {
    using Format = typename TestType::type;
    execution::Threads<>::Team team(2);
    const std::int64_t m = 3, k = 24;
    testing::Rng rng(11);
    const auto x = rng.floats(static_cast<std::size_t>(m * k));
    const std::int64_t heights[] = {130, 64, 7};
    std::vector<StoredTensor> stored;
    std::vector<weights::MatrixOf<Format>> matrices;
    std::vector<std::vector<float>> expected, found;
    for (const auto n : heights) {
        stored.emplace_back(rng.floats(static_cast<std::size_t>(n * k)), own_dtype<Format>, n);
        matrices.push_back(weights::traits<Format>::load(stored.back().view, "w", n, k, team));
        expected.emplace_back(static_cast<std::size_t>(m * n));
        found.emplace_back(static_cast<std::size_t>(m * n));
        weights::linear_store<Arch, Format>(team, {x.data(), m, k, k}, matrices.back(), nullptr, Matrix(expected.back().data(), m, n));
    }
    const std::array<const weights::MatrixOf<Format>*, 3> all{&matrices[0], &matrices[1], &matrices[2]};
    weights::linear<Arch, Format>(team, x.data(), k, m, all, [&](int which, std::int64_t row, std::int64_t first, std::int64_t count, const float* values) {
        const auto w = static_cast<std::size_t>(which);
        std::copy_n(values, count, found[w].data() + row * heights[w] + first);
    });
    for (std::size_t i = 0; i < 3; ++i) CHECK(testing::same_bits(found[i], expected[i]));
    std::vector<float> sums(static_cast<std::size_t>(m * 130)), twice(sums.size());
    weights::linear_pair<Arch, Format>(
        team, x.data(), k, m,
        [&](std::int64_t row, std::int64_t first, std::int64_t count, const float* a, const float* b) {
            for (std::int64_t i = 0; i < count; ++i) sums[static_cast<std::size_t>(row * 130 + first + i)] = a[i] + b[i];
        },
        matrices[0], matrices[0]);
    for (std::size_t i = 0; i < twice.size(); ++i) twice[i] = 2 * expected[0][i];
    CHECK(testing::same_bits(sums, twice));
}

TEST_CASE("F16 refuses what it cannot hold") {
    execution::Serial::Team team(1);
    for (const DType dtype : {DType::f32, DType::bf16}) {
        const StoredTensor fits({65504.0f * (dtype == DType::f32), 1.0f}, dtype, 1);
        CHECK_NOTHROW(weights::traits<weights::F16>::load(fits.view, "w", 1, 2, team));
        const StoredTensor lost({1.0f, 70000.0f}, dtype, 1);
        CHECK_THROWS_AS(weights::traits<weights::F16>::load(lost.view, "w", 1, 2, team), LoadError);
        CHECK_THROWS_WITH(weights::traits<weights::F16>::load(lost.view, "w", 1, 2, team),
                          Catch::Contains("test.safetensors") && Catch::Contains("'w'") && Catch::Contains("65504"));
    }
}
