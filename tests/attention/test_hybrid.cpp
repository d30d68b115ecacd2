#include "fixture.hpp"

using namespace qwen3vl_test;

namespace hybrid_test {

/// Attention in double over keys and values as a Hybrid cache keeps them for each query.
template <class Cache>
std::vector<double> oracle(const Sequence& s) {
    const kv_cache::Extent e{s.kv_heads, s.channels(), s.tokens, 0, 0};
    using Exact = kv_cache::Contiguous<kv_cache::Bf16>;
    using Old = kv_cache::Contiguous<typename Cache::codec>;
    std::vector<std::byte> exact_memory(static_cast<std::size_t>(Exact::bytes(e))),
        old_memory(static_cast<std::size_t>(Old::bytes(e)));
    typename Exact::Layer exact(exact_memory.data(), e);
    typename Old::Layer old(old_memory.data(), e);
    const auto padded = [&](const std::vector<float>& rows, std::int64_t t, std::int64_t h) {
        std::vector<float> row(static_cast<std::size_t>(s.channels()), 0.0f);
        std::copy_n(rows.data() + (t * s.kv_heads + h) * s.head_dim, s.head_dim, row.data());
        return row;
    };
    for (std::int64_t t = 0; t < s.tokens; ++t)
        for (std::int64_t h = 0; h < s.kv_heads; ++h) {
            exact.template write<Arch>(h, t, padded(s.keys, t, h).data(), padded(s.values, t, h).data());
            old.template write<Arch>(h, t, padded(s.keys, t, h).data(), padded(s.values, t, h).data());
        }
    std::vector<double> out(static_cast<std::size_t>(s.tokens * s.q_dim()));
    for (std::int64_t t = 0; t < s.tokens; ++t)
        for (std::int64_t head = 0; head < s.kv_heads * s.group; ++head) {
            const std::int64_t h = head / s.group;
            const auto kept = [&](std::int64_t k, std::int64_t c,
                                  bool value) {  // the query's tile and two before it are exact
                const auto of = [&](const auto& tile) {
                    return static_cast<double>(value ? tile.value(k % 64, c) : tile.key(k % 64, c));
                };
                return t / 64 - k / 64 <= 2 ? of(exact.tile(h, k / 64, s.tokens)) : of(old.tile(h, k / 64, s.tokens));
            };
            std::vector<double> scores;
            for (std::int64_t k = 0; k <= t; ++k) {
                double score = 0;
                for (std::int64_t c = 0; c < s.head_dim; ++c)
                    score += static_cast<double>(
                                 s.queries[static_cast<std::size_t>(t * s.q_dim() + head * s.head_dim + c)]) *
                             kept(k, c, false);
                scores.push_back(score / std::sqrt(static_cast<double>(s.head_dim)));
            }
            const auto p = reference::softmax(scores);
            for (std::int64_t k = 0; k <= t; ++k)
                for (std::int64_t c = 0; c < s.head_dim; ++c)
                    out[static_cast<std::size_t>(t * s.q_dim() + head * s.head_dim + c)] +=
                        p[static_cast<std::size_t>(k)] * kept(k, c, true);
        }
    return out;
}

template <template <class> class Algorithm>
void check(const Sequence& s) {
    using Attention = Algorithm<mask::Causal>;
    using Cache = kv_cache::Hybrid<Tokens{128}>;
    CAPTURE(Attention::name, s.tokens, s.kv_heads, s.group, s.head_dim);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const std::int64_t largest = Cache::largest_chunk({});
    CHECK(largest == 129);
    const auto whole = run<Attention, Cache>(s, serial, largest);
    CHECK(testing::largest_difference(whole, oracle<Cache>(s)) <= s.tolerance());
    for (const std::int64_t chunk : {1, 7, 64, 90})
        CHECK(testing::same_bits(run<Attention, Cache>(s, threads, chunk), whole));
}

template <class Mask>
using Chunked = attention::Chunked<Mask>;

TEST_CASE("Hybrid shows each query the latest tiles exactly and older ones in 4 bits") {
    for (const std::int64_t tokens : {1, 64, 65, 192, 193, 450}) check<attention::Flash>(Sequence(tokens, 2, 2, 24));
    check<attention::Flash>(Sequence(400, 1, 8, 32));                 // blocks of queries shorter than a tile
    check<attention::Flash>(Sequence(size_of(300, 210), 1, 200, 8));  // a group that exceeds a block of queries
    check<attention::Dense>(Sequence(400, 2, 2, 24));
    check<Chunked>(Sequence(size_of(1200, 400), 1, 2, 24));  // split over the keys
}

TEST_CASE("as long as all is recent Hybrid has the bits of its exact codec") {
    execution::Serial::Team team(1);
    const Sequence s(300, 2, 2, 24);
    CHECK(testing::same_bits(run<attention::Flash<>, kv_cache::Hybrid<Tokens{256}>>(s, team, 100),
                             run<attention::Flash<>, kv_cache::Contiguous<kv_cache::Bf16>>(s, team, 100)));
}

}  // namespace hybrid_test
