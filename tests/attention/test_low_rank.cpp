#include <qwen3vl/testing/orthonormal.hpp>
#include "fixture.hpp"

using namespace qwen3vl_test;

namespace low_rank_test {

/// With directions of its own.
Sequence directed(std::int64_t tokens, std::int64_t kv_heads, std::int64_t group, std::int64_t head_dim) {
    Sequence s(tokens, kv_heads, group, head_dim);
    for (const auto seed : {std::uint64_t{1}, std::uint64_t{2}})
        s.tables.push_back(testing::orthonormal(kv_heads, head_dim, seed));
    return s;
}

/// What is left of rows [tokens, heads * head_dim] along the first directions of a table.
std::vector<float> along(const Sequence& s, const std::vector<float>& rows, const std::vector<float>& table,
                         std::int64_t rank) {
    std::vector<float> left(rows.size());
    const std::int64_t d = s.head_dim;
    for (std::int64_t row = 0; row < static_cast<std::int64_t>(rows.size()) / d; ++row) {
        const float* x = rows.data() + row * d;
        std::vector<double> sum(static_cast<std::size_t>(d));
        for (std::int64_t r = 0; r < rank; ++r) {
            const float* direction = table.data() + (row % s.kv_heads * d + r) * d;
            double coordinate = 0;
            for (std::int64_t c = 0; c < d; ++c)
                coordinate += static_cast<double>(direction[c]) * static_cast<double>(x[c]);
            for (std::int64_t c = 0; c < d; ++c)
                sum[static_cast<std::size_t>(c)] += coordinate * static_cast<double>(direction[c]);
        }
        for (std::int64_t c = 0; c < d; ++c)
            left[static_cast<std::size_t>(row * d + c)] = static_cast<float>(sum[static_cast<std::size_t>(c)]);
    }
    return left;
}

template <int R, class Attention = attention::Flash<>, class Team>
std::vector<float> low_rank(const Sequence& s, Team& team, std::int64_t chunk) {
    return run<Attention, kv_cache::LowRank<Rank{R}, kv_cache::Contiguous<kv_cache::Float32>>>(s, team, chunk);
}

/// Attention over the parts of keys and values that lie along the directions; projecting rounds sums over head_dim
/// twice more, and expanding over the rank.
template <int R, class Attention = attention::Flash<>>
void check(const Sequence& s) {
    CAPTURE(R, s.tokens, s.kv_heads, s.group, s.head_dim);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    Sequence kept = s;
    kept.keys = along(s, s.keys, s.tables[0], R);
    kept.values = along(s, s.values, s.tables[1], R);
    const auto whole = low_rank<R, Attention>(s, serial, s.tokens);
    CHECK(testing::largest_difference(whole, kept.expected<mask::Causal>()) <= 4 * s.tolerance());
    for (const std::int64_t chunk : {1, 7, 64})
        CHECK(testing::same_bits(low_rank<R, Attention>(s, threads, chunk), whole));
}

TEST_CASE("a low-rank cache equals attention over what its directions keep") {
    for (const std::int64_t tokens : {1, 2, 63, 65, 200}) check<8>(directed(tokens, 2, 2, 24));
    check<20>(directed(150, 3, 1, 32));  // multi-head, a rank that is no multiple of a vector
    check<4>(directed(90, 1, 8, 8));     // multi-query
    check<40>(directed(100, 1, 2, 128));
    check<8, attention::Dense<>>(directed(70, 2, 2, 24));
    check<8, attention::Chunked<>>(directed(70, 2, 2, 24));
}

TEST_CASE("a low-rank cache of full rank equals a contiguous one") {
    execution::Serial::Team team(1);
    const Sequence s = directed(200, 2, 2, 24);
    const auto exact = run<attention::Flash<>>(s, team, 200), found = low_rank<24>(s, team, 200);
    double difference = 0;
    for (std::size_t i = 0; i < found.size(); ++i)
        difference += std::abs(static_cast<double>(found[i]) - static_cast<double>(exact[i]));
    CHECK(difference / static_cast<double>(found.size()) < 1e-6);
}

TEST_CASE("the latest tokens keep all directions and older ones the first, whatever the chunk") {
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto check_hybrid = [&]<class Codec, class Attention>(type_tag<Codec>, type_tag<Attention>, const Sequence& s,
                                                                double error) {
        CAPTURE(Codec::tile_bytes(16), s.tokens, s.kv_heads, s.group, s.head_dim);
        using Cache = kv_cache::LowRank<Rank{32}, kv_cache::Hybrid<Tokens{128}, kv_cache::Float32, Codec>>;
        const auto whole = run<Attention, Cache>(s, serial, 129);
        const auto few_keys = along(s, s.keys, s.tables[0], 16), few_values = along(s, s.values, s.tables[1], 16);
        for (std::int64_t own = 0; 64 * own < s.tokens; ++own) {  // a query's tile and two before it are whole
            Sequence kept = s;
            const std::int64_t older = std::max<std::int64_t>(0, own - 2) * 64 * s.kv_heads * s.head_dim;
            std::copy_n(few_keys.begin(), older, kept.keys.begin());
            std::copy_n(few_values.begin(), older, kept.values.begin());
            const auto expected = kept.expected<mask::Causal>();
            const auto begin = static_cast<std::size_t>(64 * own * s.q_dim()),
                       end = static_cast<std::size_t>(std::min(s.tokens, 64 * own + 64) * s.q_dim());
            CHECK(testing::largest_difference(
                      std::vector<float>(whole.begin() + static_cast<std::ptrdiff_t>(begin),
                                         whole.begin() + static_cast<std::ptrdiff_t>(end)),
                      std::vector<double>(expected.begin() + static_cast<std::ptrdiff_t>(begin),
                                          expected.begin() + static_cast<std::ptrdiff_t>(end))) <= error);
        }
        for (const std::int64_t chunk : {1, 7, 64})
            CHECK(testing::same_bits(run<Attention, Cache>(s, threads, chunk), whole));
    };
    using Flash = attention::Flash<>;
    const Sequence s = directed(330, 2, 2, 32), one = directed(300, 1, 8, 32);
    using Exact = kv_cache::TruncatedRank<Rank{16}, kv_cache::Float32>;
    check_hybrid(type_tag<Exact>{}, type_tag<Flash>{}, s, 4 * s.tolerance());
    check_hybrid(type_tag<Exact>{}, type_tag<Flash>{}, one, 4 * one.tolerance());  // multi-query
    check_hybrid(type_tag<Exact>{}, type_tag<attention::Dense<>>{}, s, 4 * s.tolerance());
    // half a step of keys moves a score by 3 sqrt(32) / 254 at most, and with it the weights relatively; that of values
    // adds
    const double step = std::sqrt(32.0) / 127 / 2 * (1 + 0x1p-7);
    check_hybrid(type_tag<kv_cache::TruncatedRank<Rank{16}, kv_cache::Int8>>{}, type_tag<Flash>{}, s,
                 std::expm1(2 * 3 * std::sqrt(32.0) * step) + step);
}

TEST_CASE("TruncatedRank keeps the numbers in front, of each codec, and moves and clears them as the codec does") {
    constexpr std::int64_t channels = 48;
    testing::Rng random(3);
    const auto rows = random.floats(64 * 2 * channels);
    for_each_type<kv_cache::codecs>([&]<class C>(C) {
        using Inner = typename C::type;
        using Codec = kv_cache::TruncatedRank<Rank{32}, Inner>;
        CAPTURE(Inner::name);
        CHECK(Codec::tile_bytes(channels) == Inner::tile_bytes(32));
        CHECK(Codec::tile_bytes(16) == Inner::tile_bytes(16));
        alignas(64) std::byte memory[65536], other[65536], inner[65536];
        REQUIRE(Codec::tile_bytes(channels) <= 65536);
        for (std::int64_t i = 0; i < 64; ++i) {
            const float *key = rows.data() + 2 * i * channels, *value = key + channels;
            Codec::template write<Arch>(memory, channels, i, key, value);
            Inner::template write<Arch>(inner, 32, i, key, value);
            Codec::copy(memory, i, other, 63 - i, channels);
        }
        Codec::clear(memory, channels, 50);
        alignas(64) static float wide[std::size_t{2 * 64 * channels}], narrow[2 * 64 * 32];
        const auto check = [&](const std::byte* found, const auto& number) {
            const auto tile = Codec::view(found, channels, 128, 40);
            CHECK(tile.first == 128);
            const auto w = kv_cache::widened<Arch>(tile, wide);
            const auto expected = Inner::view(inner, 32, 128, 64);
            const auto n = kv_cache::widened<Arch>(expected, narrow);
            CHECK(w.count == 40);
            int wrong = 0;
            for (std::int64_t i = 0; i < 40; ++i)
                for (std::int64_t c = 0; c < channels; ++c) {
                    const std::int64_t at = number(i);
                    for (const float k : {tile.key(i, c), w.key(i, c)}) wrong += k != (c < 32 ? n.key(at, c) : 0.0f);
                    for (const float v : {tile.value(i, c), w.value(i, c)})
                        wrong += v != (c < 32 ? n.value(at, c) : 0.0f);
                }
            CHECK(wrong == 0);
        };
        check(memory, [](std::int64_t i) { return i; });
        check(other, [](std::int64_t i) { return 63 - i; });
        const auto cleared = Codec::view(memory, channels, 0, 64);
        for (std::int64_t i = 50; i < 64; ++i)
            for (std::int64_t c = 0; c < channels; ++c)
                REQUIRE((cleared.key(i, c) == 0.0f && cleared.value(i, c) == 0.0f));
    });
}

TEST_CASE("a low-rank cache stands over other caches and under other masks") {
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    using Window = mask::SlidingWindow<qwen3vl::Window{.tokens = 40, .sinks = 4}>;
    using Ring = kv_cache::LowRank<Rank{8}, kv_cache::Ring<Tokens{256}, kv_cache::Float32>>;
    using Whole = kv_cache::LowRank<Rank{8}, kv_cache::Contiguous<kv_cache::Float32>>;
    const Sequence s = directed(400, 2, 2, 24);
    const auto whole = run<attention::Flash<Window>, Whole>(s, serial, 400);
    CHECK(testing::same_bits(run<attention::Flash<Window>, Ring>(s, threads, 100), whole));
    using Chosen = mask::DynamicSparse<BlockBudget{.block = 16, .keep = 4}>;
    const auto chosen = run<attention::Flash<Chosen>, Whole>(s, serial, 400);
    for (const std::int64_t chunk : {1, 7, 64})
        CHECK(testing::same_bits(run<attention::Flash<Chosen>, Whole>(s, threads, chunk), chosen));
    using Hybrid = kv_cache::LowRank<Rank{8}, kv_cache::Hybrid<Tokens{64}>>;
    const auto hybrid = run<attention::Flash<>, Hybrid>(s, serial, 128);
    for (const std::int64_t chunk : {1, 7, 64})
        CHECK(testing::same_bits(run<attention::Flash<>, Hybrid>(s, threads, chunk), hybrid));
}

}  // namespace low_rank_test
