#include <qwen3vl/activation/activation.hpp>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/ffn/gated.hpp>
#include <qwen3vl/ops/cpu.hpp>
#include <qwen3vl/reference/activation.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/text/parameters.hpp>
#include "catch.hpp"

using namespace qwen3vl;
using Format = weights::Float32;

static_assert(concepts::Ffn<ffn::Gated>);

TEST_CASE("the gated layer adds down(silu(gate x) * up x)") {
    using Team = execution::Threads<>::Team;
    Team team(2);
    for (const auto& [tokens, hidden, inner] :
         {std::array<std::int64_t, 3>{1, 5, 3}, std::array<std::int64_t, 3>{7, 33, 65},
          std::array<std::int64_t, 3>{100, 40, 130}}) {
        CAPTURE(tokens, hidden, inner);
        testing::Rng rng(7);
        const auto gate = rng.floats(static_cast<std::size_t>(inner * hidden)), up = rng.floats(gate.size()),
                   down = rng.floats(gate.size());
        const auto x = rng.floats(static_cast<std::size_t>(tokens * hidden)), before = rng.floats(x.size());
        ffn::Gated::Parameters<weights::WeightMatrix, std::vector<float>> layer;
        const auto matrix = [&](const std::vector<float>& v, std::int64_t rows, std::int64_t cols) {
            return weights::load<arch::native, Format>(
                {DType::f32, {rows, cols}, reinterpret_cast<const std::byte*>(v.data()), "test"}, "w", rows, cols,
                team);
        };
        layer.gate = matrix(gate, inner, hidden);
        layer.up = matrix(up, inner, hidden);
        layer.down = matrix(down, hidden, inner);
        auto y = before;
        std::vector<std::byte> in(
            static_cast<std::size_t>(weights::traits<Format>::activation_bytes<arch::native>(tokens, hidden))),
            between(static_cast<std::size_t>(weights::traits<Format>::activation_bytes<arch::native>(tokens, inner)));
        const weights::PackedActivations input{in.data(), tokens, hidden};
        weights::pack_rows<arch::native, Format>(team, {x.data(), tokens, hidden, hidden}, input);
        ffn::Gated::add<Format, activation::SwiGLU>(ops::Cpu<arch::native, Team>(team, nullptr, 0), layer, input,
                                                    {between.data(), tokens, inner}, Matrix(y.data(), tokens, hidden));

        const auto h = static_cast<std::size_t>(hidden), n = static_cast<std::size_t>(inner);
        const auto rows = testing::as_rows(x, h);
        auto joined = reference::matmul(rows, testing::as_rows(gate, h));
        const auto ups = reference::matmul(rows, testing::as_rows(up, h));
        for (std::size_t i = 0; i < joined.values.size(); ++i)
            joined.values[i] = reference::swiglu(joined.values[i], ups.values[i]);
        auto expected = reference::matmul(joined, testing::as_rows(down, n));
        for (std::size_t i = 0; i < before.size(); ++i) expected.values[i] += static_cast<double>(before[i]);
        // gate and up are each off by `hidden` roundings of a sum of at most `hidden` numbers within 1, and multiply
        // each other; the last sum has `inner` addends of the largest joined value and a rounding for each
        const auto d = static_cast<double>(hidden), largest = testing::largest_magnitude(joined.values);
        const double each = 2 * testing::float_roundoff * d * d + 12 * testing::float_roundoff * largest;
        CHECK(testing::largest_difference(y, expected.values) <=
              static_cast<double>(inner) * (each + static_cast<double>(inner) * testing::float_roundoff * largest));
    }
}
