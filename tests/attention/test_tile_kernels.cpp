#include <cmath>
#include <limits>
#include <qwen3vl/kernels/attention_tile.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include "arch_test.hpp"

using namespace qwen3vl;

namespace tile_kernels_test {

float exp2_of(float x) {
    alignas(64) float lanes[16];
    kernels::store<Arch>(kernels::exp2<Arch>(kernels::vec<Arch>(x)), lanes);
    return lanes[Arch::floats - 1];
}

constexpr int keys = 64;

template <class Element>
struct Operands {
    std::int64_t rows, channels;
    int size = kernels::group_size<Arch>(rows);
    std::vector<float> queries, packed, weights, shrink, out;
    std::vector<Element> tile;  ///< [channels, keys] or [keys, channels]

    Operands(std::int64_t r, std::int64_t c) : rows(r), channels(c) {
        testing::Rng rng(static_cast<std::uint64_t>(r * 1000 + c));
        queries = rng.floats(static_cast<std::size_t>(r * c));
        packed.resize(static_cast<std::size_t>(size * c));
        kernels::pack_queries<Arch>(queries.data(), r, c, 0.5f, packed.data());
        weights = rng.floats(static_cast<std::size_t>(size * keys));
        shrink = rng.floats(static_cast<std::size_t>(size));
        out = rng.floats(static_cast<std::size_t>(size * c));
        for (const float v : rng.floats(static_cast<std::size_t>(c * keys), 100.0f))
            tile.push_back(static_cast<Element>(v));
    }
};

/// The products of packed queries and keys [begin, end), and the sums of values over them, against double.
template <class Element>
void check_products(std::int64_t rows, std::int64_t channels, std::int64_t begin, std::int64_t end, bool scaled) {
    Operands<Element> o(rows, channels);
    CAPTURE(rows, channels, begin, end, scaled, o.size);
    std::vector<bf16> scales;
    for (const float v : testing::Rng(5).floats(keys)) scales.push_back(bf16(v));
    std::vector<float> scores(static_cast<std::size_t>(o.size * keys));
    kernels::key_products<Arch, keys>(o.packed.data(), o.size, o.tile.data(), scaled ? scales.data() : nullptr,
                                      channels, begin, end, scores.data());
    const std::vector<float> before = o.out;
    kernels::add_values<Arch, keys>(o.weights.data(), o.size, o.tile.data(), channels, begin, end, o.shrink.data(),
                                    o.out.data());
    const auto at = [](auto& v, std::int64_t i) {
        return static_cast<double>(static_cast<float>(v[static_cast<std::size_t>(i)]));
    };
    double score_error = 0, out_error = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t k = begin; k < end; ++k) {
            double sum = 0;
            for (std::int64_t c = 0; c < channels; ++c)
                sum += 0.5 * at(o.queries, r * channels + c) * at(o.tile, c * keys + k);
            score_error =
                std::max(score_error, std::abs(at(scores, r * keys + k) - (scaled ? sum * at(scales, k) : sum)));
        }
        for (std::int64_t c = 0; c < channels; ++c) {
            double sum = at(before, r * channels + c) * at(o.shrink, r);
            for (std::int64_t k = begin; k < end; ++k)
                sum += at(o.weights, r * keys + k) * at(o.tile, k * channels + c);
            out_error = std::max(out_error, std::abs(at(o.out, r * channels + c) - sum));
        }
    }
    // chains of multiply-adds (two roundings each where they are not fused) of terms within 50 and 100, and the
    // factors' own
    CHECK(score_error <=
          testing::float_roundoff * static_cast<double>(channels) * 50 * static_cast<double>(2 * channels + 4));
    CHECK(out_error <= testing::float_roundoff * keys * 100 * (2 * keys + 4));
}

TEST_CASE("exp2 is within two ulp, 1 at 0 and 0 for what is hidden") {
    double worst = 0;
    for (int i = 0; i <= 1 << 20; ++i) {
        const float x = -126.0f * static_cast<float>(i) / static_cast<float>(1 << 20);
        const double exact = std::exp2(static_cast<double>(x)), ulp = std::exp2(std::floor(std::log2(exact)) - 23);
        worst = std::max(worst, std::abs(static_cast<double>(exp2_of(x)) - exact) / ulp);
    }
    CHECK(worst <= (Arch::floats > 4 ? 2.0 : 2.1));
    CHECK(exp2_of(0.0f) == 1.0f);
    for (int n = 1; n <= 126; ++n) CHECK(exp2_of(static_cast<float>(-n)) == std::exp2(static_cast<float>(-n)));
    for (const float x : {-127.0f, -200.0f, -1e30f, -std::numeric_limits<float>::infinity()}) {
        const float found = exp2_of(x);
        CHECK(found == 0.0f);
        CHECK(!std::signbit(found));
    }
    for (float x = -126.0f; x > -127.0f; x -= 0.01f)
        CHECK(std::abs(static_cast<double>(exp2_of(x)) - std::exp2(static_cast<double>(x))) < 0x1p-126);
    CHECK(std::isnan(exp2_of(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("products of a group of rows and a tile, for every group size") {
    for (std::int64_t rows = 1; rows <= kernels::outer_rows<Arch>; ++rows)
        for (std::int64_t channels : {16, 48, 64, 80, 128}) {
            check_products<float>(rows, channels, 0, keys, false);
            check_products<float>(rows, channels, 5, 38, true);
            if (rows > kernels::few_rows) continue;
            check_products<bf16>(rows, channels, 0, keys, false);
            check_products<bf16>(rows, channels, 63, 64, false);
            check_products<std::int8_t>(rows, channels, 0, keys, true);
            check_products<std::int8_t>(rows, channels, 17, 33, true);
        }
}

TEST_CASE("a row's products have the same bits in every group and element width") {
    const std::int64_t channels = 80;
    const Operands<std::int8_t> all(kernels::outer_rows<Arch>, channels);
    std::vector<float> wide(all.tile.begin(), all.tile.end()), together(static_cast<std::size_t>(all.size * keys));
    kernels::key_products<Arch, keys>(all.packed.data(), all.size, wide.data(), nullptr, channels, 0, keys,
                                      together.data());
    std::vector<float> sums(all.out.size(), 0.0f), ones(16, 1.0f);
    kernels::add_values<Arch, keys>(all.weights.data(), all.size, wide.data(), channels, 0, keys, ones.data(),
                                    sums.data());
    for (std::int64_t rows = 1; rows <= kernels::few_rows; ++rows)
        for (std::int64_t first = 0; first + rows <= all.rows; ++first) {
            const int size = kernels::group_size<Arch>(rows);
            std::vector<float> packed(static_cast<std::size_t>(size * channels)),
                scores(static_cast<std::size_t>(size * keys)), out(static_cast<std::size_t>(size * channels), 0.0f),
                weights(scores.size(), 0.0f);
            kernels::pack_queries<Arch>(all.queries.data() + first * channels, rows, channels, 0.5f, packed.data());
            kernels::key_products<Arch, keys>(packed.data(), size, all.tile.data(), nullptr, channels, 0, keys,
                                              scores.data());
            std::copy_n(all.weights.data() + first * keys, rows * keys, weights.data());
            kernels::add_values<Arch, keys>(weights.data(), size, all.tile.data(), channels, 0, keys, ones.data(),
                                            out.data());
            const auto n = static_cast<std::size_t>(rows);
            CHECK(testing::same_bits({scores.data(), n * keys}, {together.data() + first * keys, n * keys}));
            CHECK(testing::same_bits({out.data(), n * static_cast<std::size_t>(channels)},
                                     {sums.data() + first * channels, n * static_cast<std::size_t>(channels)}));
        }
}

}  // namespace tile_kernels_test
