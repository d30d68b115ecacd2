#include <qwen3vl/alignment/alignment.hpp>
#include <qwen3vl/chat/align.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/reference/alignment.hpp>
#include <qwen3vl/testing/golden.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/rng.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace projected_test {

/// Parameters of a rank over so many channels.
struct Weights {
    std::vector<float> text, visual;
};
constexpr std::int64_t hidden = 37;

reference::Rows rows_of(const std::vector<float>& values, std::size_t cols) {
    reference::Rows rows(values.size() / cols, cols);
    std::copy(values.begin(), values.end(), rows.values.begin());
    return rows;
}
std::vector<std::vector<double>> vectors_of(const std::vector<float>& values, std::size_t cols) {
    std::vector<std::vector<double>> all;
    for (std::size_t i = 0; i < values.size(); i += cols)
        all.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i),
                         values.begin() + static_cast<std::ptrdiff_t>(i + cols));
    return all;
}

TEST_CASE("Projected equals the oracle for any number of words and regions") {
    using A = alignment::Projected<Rank{5}>;
    testing::Rng random(3);
    const Weights w{random.floats(5 * hidden), random.floats(5 * hidden)};
    const auto text = rows_of(w.text, hidden), visual = rows_of(w.visual, hidden);
    for (const auto& [n, k] : {std::pair{1, 1}, {1, 6}, {4, 1}, {7, 9}}) {
        const auto words = random.floats(static_cast<std::size_t>(n * hidden)),
                   regions = random.floats(static_cast<std::size_t>(k * hidden));
        const auto found = A::compare(w, ConstMatrix(words.data(), n, hidden), ConstMatrix(regions.data(), k, hidden));
        const auto each = vectors_of(words, hidden), seen = vectors_of(regions, hidden);
        std::vector<double> mean(hidden);
        for (const auto& word : each)
            for (std::size_t c = 0; c < word.size(); ++c) mean[c] += word[c] / n;
        REQUIRE(std::ssize(found.regions) == k);
        // Float32 rounds the directions and their products: some 1e-7 each.
        for (std::size_t i = 0; i < seen.size(); ++i)
            CHECK(found.regions[i] == Approx(reference::projected_cosine(text, mean, visual, seen[i])).margin(2e-6));
        CHECK(found.score == Approx(reference::late_interaction(text, each, visual, seen)).margin(2e-6));
    }
}

TEST_CASE("rows of zeros are like nothing") {
    using A = alignment::Projected<Rank{2}>;
    const Weights w{std::vector<float>(2 * hidden, 1.0f), std::vector<float>(2 * hidden, 1.0f)};
    const std::vector<float> zeros(hidden), ones(hidden, 1.0f);
    const ConstMatrix nothing(zeros.data(), 1, hidden), something(ones.data(), 1, hidden);
    CHECK(A::compare(w, nothing, something).regions[0] == 0.0f);
    CHECK(A::compare(w, something, nothing).score == 0.0f);
    CHECK(A::compare(w, something, something).score == Approx(1.0));
}

/// Largest difference of a golden tensor.
void check_equal(const testing::GoldenCase& golden, const std::string& name, const std::vector<float>& found) {
    const auto expected = golden.floats(name);
    REQUIRE(expected.size() == found.size());
    for (std::size_t i = 0; i < found.size(); ++i)
        CHECK(std::abs(expected[i] - found[i]) <= testing::golden_tolerance);  // of cosines, at most 1
}

TEST_CASE("Projected equals the PyTorch module") {  // tests/data/make_alignment.py
    const auto file = checkpoint::SafetensorsFile::open(test_data("/alignment/module.safetensors"));
    const testing::GoldenCase golden(file);
    const Weights w{golden.floats("alignment.text.weight"), golden.floats("alignment.visual.weight")};
    const auto words = golden.floats("words"), regions = golden.floats("regions");
    const auto found = alignment::Projected<Rank{8}>::compare(w, ConstMatrix(words.data(), 5, 64),
                                                              ConstMatrix(regions.data(), 12, 64));
    check_equal(golden, "map", found.regions);
    check_equal(golden, "score", {found.score});
}

TEST_CASE("a phrase over a picture, with trained projections") {
    using M = Model<models::Shapes, bundles::float32::with_alignment<alignment::Projected<Rank{64}>>>;
    const std::string shapes = test_models("/shapes");
    const auto model = M::load(shapes, {.parameters = {shapes + "/alignment/projected.safetensors"}});
    const auto picture = Image::open(test_models("/../pictures/shapes.png"));  // 160 x 128: 4 rows, 5 columns
    Session<M> session(model, {.context = 64, .threads = 2});
    const PhraseMap map = align(session, picture, "the blue star");
    CHECK(map.rows == 4);
    CHECK(map.columns == 5);
    const auto file = checkpoint::SafetensorsFile::open(test_data("/alignment/shapes.safetensors"));
    const testing::GoldenCase golden(file);
    check_equal(golden, "map", map.scores);
    check_equal(golden, "score", {map.score});

    // What is in the picture has a higher score than what is not, and is pointed at.
    const auto triangle = align(session, picture, "the orange triangle"),
               heart = align(session, picture, "a red heart");
    CHECK(map.score > heart.score);
    CHECK(triangle.score > heart.score);
    CHECK(map.highest() != triangle.highest());
    CHECK(align(model, picture, "the blue star").scores == map.scores);
    CHECK_THROWS_WITH(align(session, picture, ""), Catch::Matchers::Contains("the phrase is empty"));
    CHECK_NOTHROW(align(session, picture, "<|image_pad|>"));  // text like any other
    CHECK_THROWS_AS(align(session, picture, std::string(1000, '?')), ContextOverflow);
}

}  // namespace projected_test
