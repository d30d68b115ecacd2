#include <qwen3vl/session/prompt.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace prompt_test {
constexpr TokenIds ids{.image = 90, .video = 91, .vision_start = 92, .vision_end = 93};
using At = std::array<int, 3>;

TEST_CASE("text counts on from where it starts") {
    const std::vector<int> tokens{1, 2, 3};
    const auto l = lay_out(tokens, {}, ids, 10);
    CHECK(l.positions == std::vector<At>{{10, 10, 10}, {11, 11, 11}, {12, 12, 12}});
    CHECK(l.next == 13);
    CHECK(l.spans.empty());
}

TEST_CASE("a picture's tokens share their time, and text goes on after the largest coordinate") {
    const std::vector<int> tokens{1, 90, 90, 90, 90, 90, 90, 2};
    const std::vector<VisualGrid> grids{{{1, 4, 6}, 2}};  // 2 x 3 tokens
    const auto l = lay_out(tokens, grids, ids, 0);
    CHECK(l.positions ==
          std::vector<At>{{0, 0, 0}, {1, 1, 1}, {1, 1, 2}, {1, 1, 3}, {1, 2, 1}, {1, 2, 2}, {1, 2, 3}, {4, 4, 4}});
    CHECK(l.next == 5);
    CHECK(l.after == std::vector<std::int64_t>{1, -1, -1, -1, -1, -1, 4, 5});
    REQUIRE(l.spans.size() == 1);
    CHECK(l.spans[0].first == 1);
    CHECK(l.spans[0].count == 6);
}

TEST_CASE("a clip's frame pairs are spans of one visual with text between them") {
    const std::vector<int> tokens{91, 91, 5, 91, 91, 90};
    const std::vector<VisualGrid> grids{{{2, 2, 4}, 2}, {{1, 2, 2}, 2}};
    const auto l = lay_out(tokens, grids, ids, 0);
    REQUIRE(l.spans.size() == 3);
    CHECK((l.spans[1].visual == 0 && l.spans[1].row == 2 && l.spans[1].first == 3));
    CHECK((l.spans[2].visual == 1 && l.spans[2].row == 0));
    CHECK(l.positions[3] == At{3, 3, 3});
    CHECK(l.positions[4] == At{3, 3, 4});
    CHECK(l.positions[5] == At{5, 5, 5});
}

TEST_CASE("tokens that stand in for pictures outside of the sequence count as text") {
    const std::vector<int> tokens{1, 90, 90, 5, 91, 91, 6, 91, 91};
    const std::vector<VisualGrid> grids{{.grid = {1, 8, 6}, .merge = 2, .stand_in = 2},
                                        {.grid = {2, 4, 4}, .merge = 2, .stand_in = 2}};
    const auto l = lay_out(tokens, grids, ids, 3);
    for (int i = 0; i < 9; ++i) CHECK(l.positions[static_cast<std::size_t>(i)] == At{3 + i, 3 + i, 3 + i});
    CHECK(l.next == 12);
    REQUIRE(l.spans.size() == 3);
    CHECK((l.spans[0].count == 2 && l.spans[0].features == 12 && l.spans[0].outside));
    CHECK((l.spans[2].visual == 1 && l.spans[2].row == 4 && l.spans[2].features == 4));
}

TEST_CASE("adjacent pictures of one pad token are cut by their grids") {
    const std::vector<int> tokens{90, 90, 90, 90, 90, 90};
    const std::vector<VisualGrid> grids{{{1, 2, 4}, 2}, {{1, 4, 4}, 2}};
    const auto l = lay_out(tokens, grids, ids, 0);
    REQUIRE(l.spans.size() == 2);
    CHECK(l.spans[1].first == 2);
    CHECK(l.next == 2 + 2);
}

TEST_CASE("pads and pictures must fit each other") {
    const std::vector<VisualGrid> one{{{1, 4, 4}, 2}}, clip{{{2, 2, 2}, 2}}, empty{{{1, 1, 4}, 2}};
    const auto why = [](const std::vector<int>& tokens, const std::vector<VisualGrid>& grids) {
        try {
            lay_out(tokens, grids, ids, 0);
        } catch (const PromptError& e) {
            return std::string(e.what());
        }
        return std::string("nothing");
    };
    CHECK_THAT(why({1, 90, 90, 90, 2}, one), Catch::Contains("needs 4 pad tokens in a row, found 3"));
    CHECK_THAT(why({1, 90, 90, 90, 90, 90}, one), Catch::Contains("more pictures than the 1 given"));
    CHECK_THAT(why({1, 2}, one), Catch::Contains("for 0 pictures, 1 were given"));
    CHECK_THAT(why({90, 90, 91, 91}, one), Catch::Contains("found 2"));
    CHECK_THAT(why({91, 91}, clip), Catch::Contains("text between"));
    CHECK_THAT(why({90, 1, 90}, {}), Catch::Contains("more pictures than the 0 given"));
    CHECK_THAT(why({90, 90}, empty), Catch::Contains("empty grid"));
    CHECK(why({90, 90, 90, 90}, one) == "nothing");
}

TEST_CASE("without ids every token is text") {
    const std::vector<int> tokens{90, 91};
    CHECK(lay_out(tokens, {}, std::nullopt, 0).next == 2);
}

}  // namespace prompt_test
