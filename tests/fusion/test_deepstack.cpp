#include <qwen3vl/alignment/none.hpp>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/fusion/deepstack.hpp>
#include <qwen3vl/ops/cpu.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/token_reduction/none.hpp>
#include <qwen3vl/weights/formats.hpp>
#include "catch.hpp"

using namespace qwen3vl;

static_assert(concepts::Fusion<fusion::DeepStack> && concepts::Alignment<alignment::None> &&
              concepts::TokenReduction<token_reduction::None>);

namespace {

constexpr std::int64_t width = 21;
using Team = execution::Threads<>::Team;
using Ops = ops::Cpu<arch::native, Team>;
using Rows = SequenceRows<NoState>;

/// Visual tokens [first, first + count) of a picture at the beginning of a sequence, as a pass has them.
struct OnePass {
    std::vector<std::byte> memory;
    TokenLog tokens;
    Team team{1};
    Ops ops{team, nullptr, 0};
    NoParameters none;
    NoState state{{}, 0, nullptr};
    Rows rows;
    std::vector<float> x;
    Activations<> activations;

    OnePass(const VisualFeatures& f, std::int64_t first, std::int64_t count, float value)
        : memory(static_cast<std::size_t>(TokenLog::bytes(100))),
          tokens(memory.data(), 100),
          rows{&tokens, &state, 0, first, count},
          x(static_cast<std::size_t>(count * width), value) {
        tokens.note({.first = 0,
                     .rows = f.grid.h / f.merge,
                     .columns = f.grid.w / f.merge,
                     .tokens = f.tokens(),
                     .pending = std::shared_ptr<const VisualFeatures>(std::shared_ptr<void>(), &f)});
    }
    Pass<Ops, NoParameters, NoState> pass() {
        return {ops, {}, none, {&rows, 1}, Matrix(x.data(), rows.count, width), activations};
    }
};

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
            OnePass one(f, first, count, 5.0f);
            fusion::DeepStack::embed<weights::Float32>(one.pass());
            CHECK(testing::same_bits(one.x, {f.embedding_row(first), one.x.size()}));
        }
}

TEST_CASE("level i is added after layer i, and nothing after the last level") {
    const auto f = features();
    const std::int64_t first = 2, count = 3;
    for (int layer = 0; layer < 4; ++layer) {
        OnePass one(f, first, count, 0.5f);
        std::vector<float> expected = one.x;
        if (layer < 2)
            for (std::size_t i = 0; i < expected.size(); ++i)
                expected[i] += f.deepstack_row(static_cast<std::size_t>(layer), first)[i];
        fusion::DeepStack::after_layer<weights::Float32>(one.pass(), layer);
        CHECK(testing::same_bits(one.x, expected));
    }
}

TEST_CASE("the identity slots change nothing") {
    auto f = features();
    const auto before = f;
    Team team(1);
    const Ops ops(team, nullptr, 0);
    alignment::None::align<weights::Float32>(ops, {}, NoParameters{}, f);
    token_reduction::None::reduce<weights::Float32>(ops, {}, NoParameters{}, f);
    CHECK(testing::same_bits(f.embedding, before.embedding));
    CHECK(f.deepstack == before.deepstack);
}
