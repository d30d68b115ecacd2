#include <algorithm>
#include <map>
#include <qwen3vl/concepts/concepts.hpp>
#include <qwen3vl/mask/grid_window.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include <qwen3vl/vision/patch_order.hpp>
#include <utility>
#include "conformance.hpp"

using namespace qwen3vl;

namespace grid_window_test {

template <PatchWindow W>
using Windows = mask::GridWindow<W>;
using Masks = list<Windows<PatchWindow{.rows = 2, .cols = 2}>, Windows<PatchWindow{.rows = 4, .cols = 4}>,
                   Windows<PatchWindow{.rows = 4, .cols = 6}>, Windows<PatchWindow{.rows = 6, .cols = 2}>,
                   Windows<PatchWindow{}>, Windows<PatchWindow{.rows = 1 << 30, .cols = 1 << 30}>>;
/// Grids that windows divide, that they do not, and that are smaller.
constexpr Grid grids[] = {{1, 2, 2}, {1, 2, 14}, {1, 6, 10}, {1, 10, 6}, {1, 8, 8}, {1, 12, 14}, {1, 18, 2}};

/// The window of each query and key, by rows and columns of windows, as the definition has it.
using WindowNumber = std::pair<int, int>;
template <class Mask>
std::vector<WindowNumber> windows(const Mask& mask, const Grid& grid, int merge) {
    std::vector<WindowNumber> found(static_cast<std::size_t>(grid.patches()), {-1, -1});
    vision::for_each_patch(grid.h, grid.w, merge, [&](std::int64_t patch, int row, int col) {
        const std::int64_t at = mask.order(patch);
        REQUIRE((at >= 0 && at < grid.patches()));
        auto& window = found[static_cast<std::size_t>(at)];
        REQUIRE(window.first < 0);  // no two patches in one place
        window = {row / Mask::rows, col / Mask::cols};
    });
    return found;
}

TEMPLATE_LIST_TEST_CASE("a patch sees its window, whatever the grid", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    static_assert(concepts::Mask<Mask> && concepts::GridMask<Mask>);
    int whole = 0;
    for (const Grid& grid : grids) {
        CAPTURE(Mask::rows, Mask::cols, grid.h, grid.w);
        const Mask mask = Mask::over(grid, 2);
        const auto of = windows(mask, grid, 2);
        qwen3vl_test::check_predicate(mask, grid.patches(), [&](std::int64_t q, std::int64_t k) {
            return of[static_cast<std::size_t>(q)] == of[static_cast<std::size_t>(k)];
        });
        qwen3vl_test::check_ranges(mask, grid.patches());
        whole += qwen3vl_test::check_whole(mask, grid.patches());
    }
    CHECK(whole > 0);
}

TEMPLATE_LIST_TEST_CASE("windows lie one after another, their patches in the tower's order", "",
                        testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    for (const int merge : {1, 2})
        for (const Grid& grid : grids) {
            CAPTURE(Mask::rows, Mask::cols, grid.h, grid.w, merge);
            const Mask mask = Mask::over(grid, merge);
            const auto of = windows(mask, grid, merge);
            CHECK(std::is_sorted(of.begin(), of.end()));
            std::map<WindowNumber, std::int64_t> lasts;  // where the last patch of each window lies
            vision::for_each_patch(grid.h, grid.w, merge, [&](std::int64_t patch, int row, int col) {
                const auto [last, first] = lasts.try_emplace({row / Mask::rows, col / Mask::cols}, mask.order(patch));
                CHECK((first || mask.order(patch) == last->second + 1));
                last->second = mask.order(patch);
            });
        }
}

TEST_CASE("a window that holds the picture leaves its order and hides nothing") {
    for (const Grid& grid : grids) {
        const auto mask = mask::GridWindow<PatchWindow{.rows = 12, .cols = 14}>::over(grid, 2);
        const std::int64_t n = grid.patches();
        if (grid.h > 12 || grid.w > 14) continue;
        for (std::int64_t i = 0; i < n; ++i) CHECK(mask.order(i) == i);
        CHECK(mask.whole(0, n - 1, 0, n - 1));
    }
}

}  // namespace grid_window_test
