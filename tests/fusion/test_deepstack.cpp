#include <qwen3vl/alignment/none.hpp>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/fusion/deepstack.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/token_reduction/none.hpp>
#include "catch.hpp"

using namespace qwen3vl;

static_assert(concepts::Fusion<fusion::DeepStack> && concepts::Alignment<alignment::None> && concepts::TokenReduction<token_reduction::None>);

namespace {

constexpr std::int64_t width = 21;

VisualFeatures features() {
    testing::Rng rng(1);
    VisualFeatures f{.grid = {1, 4, 6}, .merge = 2, .width = width, .embedding = {}, .deepstack = {}};
    f.embedding = rng.floats(static_cast<std::size_t>(f.tokens() * width));
    for (int level = 0; level < 2; ++level) f.deepstack.push_back(rng.floats(f.embedding.size()));
    return f;
}

}  // namespace

TEST_CASE("visual tokens replace their placeholders, from any row on") {
    const auto f = features();
    for (std::int64_t first : {0, 1, 4})
        for (std::int64_t count = 1; first + count <= f.tokens(); ++count) {
            std::vector<float> x(static_cast<std::size_t>(count * width), 5.0f);
            fusion::DeepStack::embed(f, first, Matrix(x.data(), count, width));
            CHECK(testing::same_bits(x, {f.embedding_row(first), x.size()}));
        }
}

TEST_CASE("level i is added after layer i, and nothing after the last level") {
    const auto f = features();
    const std::int64_t first = 2, count = 3;
    for (int layer = 0; layer < 4; ++layer) {
        std::vector<float> x(static_cast<std::size_t>(count * width), 0.5f), expected = x;
        if (layer < 2)
            for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += f.deepstack_row(static_cast<std::size_t>(layer), first)[i];
        fusion::DeepStack::after_layer<arch::native>(layer, f, first, Matrix(x.data(), count, width));
        CHECK(testing::same_bits(x, expected));
    }
}

TEST_CASE("the identity slots change nothing") {
    auto f = features();
    const auto before = f;
    alignment::None::align(f);
    const auto reduced = token_reduction::None::reduce(f);
    CHECK(testing::same_bits(reduced.embedding, before.embedding));
    CHECK(reduced.deepstack == before.deepstack);
}
