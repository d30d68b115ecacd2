#include <qwen3vl/vision/patch_order.hpp>
#include <utility>
#include <vector>
#include "catch.hpp"

using namespace qwen3vl;

TEST_CASE("patches lie block by block, row-major inside and outside") {
    std::vector<std::pair<int, int>> order;
    vision::for_each_patch(4, 6, 2, [&](std::int64_t i, int y, int x) {
        CHECK(i == static_cast<std::int64_t>(order.size()));
        order.emplace_back(y, x);
    });
    // the reference: reshape(h/2, 2, w/2, 2), permute(0, 2, 1, 3)
    std::vector<std::pair<int, int>> expected;
    for (int i = 0; i < 24; ++i) {
        const int inner_x = i % 2, inner_y = i / 2 % 2, block_x = i / 4 % 3, block_y = i / 12;
        expected.emplace_back(block_y * 2 + inner_y, block_x * 2 + inner_x);
    }
    CHECK(order == expected);
}
