#include "fixture.hpp"

using namespace qwen3vl_test;

namespace grid_window_test {

/// All queries at once over their own keys, as the tower runs it.
template <class Attention, class Team>
std::vector<float> attend(const Sequence& s, Team& team, const typename Attention::mask& mask) {
    using Cache = kv_cache::Contiguous<kv_cache::Float32>;
    const std::int64_t channels = s.channels();
    const kv_cache::Extent extent{s.kv_heads, channels, s.tokens, 0, 0};
    std::vector<std::byte> memory(static_cast<std::size_t>(Cache::bytes(extent)));
    typename Cache::Layer cache(memory.data(), extent);
    std::vector<float> queries(static_cast<std::size_t>(s.kv_heads * s.tokens * channels), 0.0f),
        out(static_cast<std::size_t>(s.tokens * s.q_dim()));
    std::vector<float> key(static_cast<std::size_t>(channels), 0.0f), value = key;
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.head_dim)));
    for (std::int64_t h = 0; h < s.kv_heads; ++h)
        for (std::int64_t t = 0; t < s.tokens; ++t) {
            const std::int64_t at = t * s.q_dim() + h * s.head_dim;
            for (std::int64_t c = 0; c < s.head_dim; ++c)
                queries[static_cast<std::size_t>((h * s.tokens + t) * channels + c)] =
                    scale * s.queries[static_cast<std::size_t>(at + c)];
            std::copy_n(s.keys.data() + at, s.head_dim, key.data());
            std::copy_n(s.values.data() + at, s.head_dim, value.data());
            cache.template write<Arch>(h, t, key.data(), value.data());
        }
    std::vector<float> scratch(static_cast<std::size_t>(
        attention::scratch_floats<Attention>(team.threads(), s.kv_heads, 1, channels, s.tokens)));
    const attention::Heads heads{queries.data(), s.tokens, s.kv_heads, 1,          channels,
                                 s.head_dim,     0,        s.tokens,   out.data(), s.q_dim()};
    attention::attend<Arch, Attention>(
        team, heads, [&](std::int64_t head, std::int64_t index) { return cache.tile(head, index, s.tokens); },
        scratch.data(), mask);
    return out;
}

using Masks =
    list<mask::GridWindow<>, mask::GridWindow<PatchWindow{.rows = 2, .cols = 2}>,
         mask::GridWindow<PatchWindow{.rows = 4, .cols = 6}>, mask::GridWindow<PatchWindow{.rows = 16, .cols = 12}>,
         mask::GridWindow<PatchWindow{.rows = 40, .cols = 40}>>;

TEMPLATE_LIST_TEST_CASE("attention within windows of a grid equals its oracle on any number of threads", "",
                        testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    // one window, windows that divide the grid, that do not, that are thinner; more keys than a segment
    for (const Grid& grid : {Grid{1, 2, 2}, Grid{1, 6, 10}, Grid{1, 16, 12}, Grid{1, 2, 50}, Grid{1, 34, 32}}) {
        const Mask mask = Mask::over(grid, 2);
        for (const std::int64_t head_dim : {8, 24, 64}) {
            const Sequence s(grid.patches(), 2, 1, head_dim);
            const auto expected = s.expected(mask);
            std::vector<std::vector<float>> found;  // by algorithm
            for_each_type<attention::all<Mask>>([&]<class A>(A) {
                using Attention = typename A::type;
                CAPTURE(Attention::name, Mask::rows, Mask::cols, grid.h, grid.w, head_dim);
                found.push_back(attend<Attention>(s, serial, mask));
                CHECK(testing::largest_difference(found.back(), expected) <= s.tolerance());
                CHECK(testing::same_bits(attend<Attention>(s, threads, mask), found.back()));
            });
            if (grid.h > Mask::rows || grid.w > Mask::cols) continue;
            auto next = found.begin();
            for_each_type<attention::all<mask::Full>>(
                [&]<class A>(A) { CHECK(testing::same_bits(attend<typename A::type>(s, serial, {}), *next++)); });
        }
    }
}

}  // namespace grid_window_test
