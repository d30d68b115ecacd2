#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/reference/position.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/sources.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace tower_test {

using D = models::Tiny;
using M = Model<D, bundles::float32>;
constexpr VisionDims d = D::vision;

/// Random weights with blocks that add nothing: what leaves a block is what entered it.
struct IdleBlocks : testing::SyntheticSource {
    TensorView take(const std::string& name, const Shape& shape) {
        const TensorView view = SyntheticSource::take(name, shape);
        const bool adds = name.find("blocks.") != std::string::npos &&
                          (name.find("attn.proj") != std::string::npos || name.find("linear_fc2") != std::string::npos);
        if (adds) std::memset(const_cast<std::byte*>(view.data), 0, view.bytes());
        return view;
    }
};

std::vector<float> floats(TensorView view) {
    std::vector<float> v(static_cast<std::size_t>(view.elements()));
    std::memcpy(v.data(), view.data, view.bytes());
    return v;
}

TEST_CASE("patches are embedded with bias, and get the position table read bilinearly") {
    auto source = std::make_shared<IdleBlocks>();
    const M model(*source, source, nullptr, {});
    testing::SyntheticSource again;
    const auto weight = floats(
        again.take("model.visual.patch_embed.proj.weight", {d.hidden, d.channels, d.temporal_patch, d.patch, d.patch}));
    const auto bias = floats(again.take("model.visual.patch_embed.proj.bias", {d.hidden}));
    const auto table = floats(again.take("model.visual.pos_embed.weight", {d.positions, d.hidden}));
    for (const Grid grid : {Grid{1, 2, 2}, Grid{1, 4, 10}, Grid{2, 6, 4}, Grid{1, 2, 18}}) {
        CAPTURE(grid.t, grid.h, grid.w);
        const auto patches = testing::synthetic_patches(d, grid);
        auto expected = reference::matmul(testing::as_rows(patches.values, static_cast<std::size_t>(d.patch_values())),
                                          testing::as_rows(weight, static_cast<std::size_t>(d.patch_values())));
        std::size_t row = 0;
        for (int t = 0; t < grid.t; ++t)
            for (int by = 0; by < grid.h; by += 2)
                for (int bx = 0; bx < grid.w; bx += 2)
                    for (int inner = 0; inner < 4; ++inner, ++row)
                        for (std::size_t c = 0; c < static_cast<std::size_t>(d.hidden); ++c) {
                            std::vector<double> channel;
                            for (std::size_t i = c; i < table.size(); i += static_cast<std::size_t>(d.hidden))
                                channel.push_back(table[i]);
                            const double y = reference::table_coordinate(by + inner / 2, grid.h, d.side()),
                                         x = reference::table_coordinate(bx + inner % 2, grid.w, d.side());
                            expected.at(row, c) +=
                                static_cast<double>(bias[c]) + reference::interpolate(channel, d.side(), y, x);
                        }
        Session<M> session(model, {.context = 16, .threads = 2});
        std::vector<float> found;
        int blocks = 0;
        encode(session.workspace(), patches, {}, [&](std::string_view name, int index, ConstMatrix x) {
            if (name != "vision.block") return;
            CHECK(index == blocks++);
            if (index == d.depth - 1) found.assign(x.data, x.data + x.rows * x.cols);
        });
        CHECK(blocks == d.depth);
        // a sum over 1536 products of numbers within 1 and sqrt(3 / 1536), in vectors of at least 4; table coordinates
        // off by 3 roundoffs of the side, 8, between entries that differ by at most 2 sqrt(3 / 72)
        const double magnitude = 1536 * 0.5 * std::sqrt(3.0 / 1536);
        CHECK(testing::largest_difference(found, expected.values) <=
              testing::float_roundoff * (magnitude * (1536.0 / 4 / 16 + 20) + 3 * 8 * 4 * std::sqrt(3.0 / 72) + 8));
    }
}

TEST_CASE("the frame pairs of a clip do not see each other") {
    const auto model = testing::synthetic_model<M>();
    Session<M> session(model, {.context = 16, .threads = 1});
    const auto clip = testing::synthetic_patches(d, {3, 4, 6});
    const auto whole = encode(session.workspace(), clip);
    const std::size_t frame = clip.values.size() / 3, features = whole->embedding.size() / 3;
    for (std::size_t t = 0; t < 3; ++t) {
        const auto at = clip.values.begin() + static_cast<std::ptrdiff_t>(t * frame);
        const auto one = encode(session.workspace(), {{1, 4, 6}, {at, at + static_cast<std::ptrdiff_t>(frame)}});
        CHECK(testing::same_bits(one->embedding, {whole->embedding.data() + t * features, features}));
        for (std::size_t level = 0; level < one->deepstack.size(); ++level)
            CHECK(testing::same_bits(one->deepstack[level], {whole->deepstack[level].data() + t * features, features}));
    }
}

TEST_CASE("a picture's features have its extents and depend on no thread count") {
    const auto model = testing::synthetic_model<M>();
    Session<M> one(model, {.context = 16, .threads = 1}), three(model, {.context = 16, .threads = 3});
    // the last has more patches than pass a dense layer at once
    for (const Grid grid : {Grid{1, 2, 2}, Grid{1, 2, 14}, Grid{1, 10, 4}, Grid{1, 34, 32}}) {
        const auto patches = testing::synthetic_patches(d, grid);
        const auto a = encode(one.workspace(), patches), b = encode(three.workspace(), patches);
        CHECK(a->grid == grid);
        CHECK(a->tokens() == grid.patches() / 4);
        CHECK(a->width == d.out);
        CHECK(static_cast<std::int64_t>(a->embedding.size()) == a->tokens() * d.out);
        REQUIRE(static_cast<int>(a->deepstack.size()) == d.deepstack_count);
        CHECK(std::isfinite(testing::largest_magnitude(a->embedding)));
        CHECK(testing::same_bits(a->embedding, b->embedding));
        for (std::size_t level = 0; level < a->deepstack.size(); ++level)
            CHECK(testing::same_bits(a->deepstack[level], b->deepstack[level]));
    }
}

TEST_CASE("patches that are no picture are refused") {
    const auto model = testing::synthetic_model<M>();
    Session<M> session(model, {.context = 16, .threads = 1});
    const auto good = testing::synthetic_patches(d, {1, 4, 4});
    for (const Grid grid :
         {Grid{0, 4, 4}, Grid{1, 0, 4}, Grid{1, 3, 4}, Grid{1, 4, 6}, Grid{-1, -4, 4}, Grid{1, 4, 1}, Grid{2, 4, 4}}) {
        CAPTURE(grid.t, grid.h, grid.w);
        CHECK_THROWS_AS(encode(session.workspace(), {grid, good.values}), ImageError);
    }
    CHECK_THROWS_WITH(encode(session.workspace(), {{1, 4, 6}, good.values}),
                      Catch::Contains("1 x 4 x 6") && Catch::Contains("multiples of 2"));
}

TEST_CASE("encoding reports its blocks and can be cancelled") {
    const auto model = testing::synthetic_model<M>();
    Session<M> session(model, {.context = 16, .threads = 2});
    const auto patches = testing::synthetic_patches(d, {1, 4, 4});
    std::vector<std::int64_t> seen;
    const auto whole = encode(session.workspace(), patches, [&](const Progress& p) {
        CHECK(p.stage == "image");
        CHECK(p.total == d.depth);
        seen.push_back(p.done);
        return true;
    });
    CHECK(seen == std::vector<std::int64_t>{0, 1, 2, 3, 4});
    CHECK_THROWS_AS(encode(session.workspace(), patches, [](const Progress& p) { return p.done < 2; }), Cancelled);
    CHECK(testing::same_bits(encode(session.workspace(), patches)->embedding, whole->embedding));
}

}  // namespace tower_test
