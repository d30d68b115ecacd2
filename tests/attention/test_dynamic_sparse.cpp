#include <algorithm>
#include "fixture.hpp"

using namespace qwen3vl_test;

namespace dynamic_sparse_test {

/// The score of a block of keys by the definition of its summary, in double.
double score_of(type_tag<mask::MeanKey>, const Sequence&, std::size_t, const std::vector<std::vector<double>>& keys,
                const std::vector<double>& query) {
    double sum = 0;
    for (const auto& key : keys)
        for (std::size_t c = 0; c < query.size(); ++c) sum += key[c] * query[c];
    return sum / static_cast<double>(keys.size());
}
double score_of(type_tag<mask::KeyBounds>, const Sequence&, std::size_t, const std::vector<std::vector<double>>& keys,
                const std::vector<double>& query) {
    double sum = 0;
    for (std::size_t c = 0; c < query.size(); ++c) {
        double most = -1e300;
        for (const auto& key : keys) most = std::max(most, key[c] * query[c]);
        sum += most;
    }
    return sum;
}

template <int Rank>
double score_of(type_tag<mask::Router<Rank>>, const Sequence& s, std::size_t head,
                const std::vector<std::vector<double>>& keys, const std::vector<double>& query) {
    double sum = 0;
    for (std::size_t r = 0; r < Rank; ++r) {
        double of_query = 0, of_keys = 0;
        for (std::size_t c = 0; c < query.size(); ++c) {
            const std::size_t at = (head * Rank + r) * query.size() + c;
            of_query += static_cast<double>(s.tables[0][at]) * query[c];
            for (const auto& key : keys)
                of_keys += static_cast<double>(s.tables[1][at]) * key[c] / static_cast<double>(keys.size());
        }
        sum += of_query * of_keys;
    }
    return sum;
}

/// What DynamicSparse computes, from its definition: head by head, token by token.
template <BlockBudget B, class Summary>
std::vector<double> oracle(const Sequence& s) {
    const auto d = static_cast<std::size_t>(s.head_dim), group = static_cast<std::size_t>(s.group),
               kv_heads = static_cast<std::size_t>(s.kv_heads);
    const auto tokens = static_cast<std::size_t>(s.tokens), block = static_cast<std::size_t>(B.block);
    std::vector<double> out(tokens * kv_heads * group * d);
    for (std::size_t h = 0; h < kv_heads; ++h) {
        const auto part = [&](const std::vector<float>& rows, std::size_t columns, std::size_t width) {
            std::vector<float> p;
            for (std::size_t t = 0; t < tokens; ++t)
                for (std::size_t c = 0; c < width; ++c) p.push_back(rows[t * columns + h * width + c]);
            return testing::as_rows(p, width);
        };
        const auto queries = part(s.queries, kv_heads * group * d, group * d), keys = part(s.keys, kv_heads * d, d),
                   values = part(s.values, kv_heads * d, d);
        std::vector<std::vector<std::vector<double>>> blocks(tokens / block);  // keys of the full ones
        for (std::size_t b = 0; b < blocks.size(); ++b)
            for (std::size_t k = b * block; k < (b + 1) * block; ++k) {
                blocks[b].emplace_back();
                for (std::size_t c = 0; c < d; ++c) blocks[b].back().push_back(keys.at(k, c));
            }
        std::vector<std::vector<bool>> seen(tokens);
        for (std::size_t t = 0; t < tokens; ++t) {
            const std::size_t own = t / block;
            seen[t].assign(tokens / block + 1, false);
            std::vector<std::pair<double, std::size_t>> rated;  // of those between, by falling score
            for (std::size_t b = 0; b <= own; ++b) {
                if (own - b < static_cast<std::size_t>(B.local) || b < static_cast<std::size_t>(B.global)) {
                    seen[t][b] = true;
                    continue;
                }
                double score = -1e300;
                for (std::size_t g = 0; g < group; ++g) {
                    std::vector<double> query;
                    for (std::size_t c = 0; c < d; ++c) query.push_back(queries.at(t, g * d + c));
                    score = std::max(score, score_of(type_tag<Summary>{}, s, h, blocks[b], query));
                }
                rated.emplace_back(-score, b);
            }
            std::sort(rated.begin(), rated.end());
            for (std::size_t i = 0; i < rated.size() && i < static_cast<std::size_t>(B.keep); ++i)
                seen[t][rated[i].second] = true;
        }
        const auto result = reference::attention(queries, keys, values, d, group, 0, [&](std::size_t q, std::size_t k) {
            return k <= q && seen[q][k / block];
        });
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t c = 0; c < group * d; ++c) out[(t * kv_heads + h) * group * d + c] = result.at(t, c);
    }
    return out;
}

template <BlockBudget B, class Summary, template <class> class Algorithm>
void check(const Sequence& s, const std::vector<double>& expected) {
    using Attention = Algorithm<mask::DynamicSparse<B, Summary>>;
    CAPTURE(Attention::name, Summary::name, B.block, B.keep, B.local, B.global, s.tokens, s.kv_heads, s.group,
            s.head_dim);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto whole = run<Attention>(s, serial, s.tokens);
    CHECK(testing::largest_difference(whole, expected) <= s.tolerance());
    CHECK(testing::same_bits(run<Attention>(s, threads, s.tokens), whole));
    for (std::int64_t chunk : {1, 7, 64, 90})
        if (chunk < s.tokens) CHECK(testing::same_bits(run<Attention>(s, threads, chunk), whole));
}

template <BlockBudget B, class Summary, template <class> class Algorithm>
void check(const Sequence& s) {
    check<B, Summary, Algorithm>(s, oracle<B, Summary>(s));
}

template <BlockBudget B, class Summary>
void check_algorithms(const Sequence& s) {
    const auto expected = oracle<B, Summary>(s);
    check<B, Summary, attention::Flash>(s, expected);
    check<B, Summary, attention::Dense>(s, expected);
}

template <class Mask>
using ShortChunks = attention::Chunked<Mask, Tokens{64}>;

TEST_CASE("queries see the blocks with the highest scores, however the sequence is cut and run") {
    constexpr BlockBudget few{.keep = 1, .local = 1, .global = 0}, some{.keep = 2, .local = 2, .global = 1},
        wide{.block = 128, .keep = 1, .local = 1}, narrow{.block = 16, .keep = 3, .local = 1};
    for (const std::int64_t tokens : {1, 63, 64, 65, 300, 640}) {
        check_algorithms<few, mask::KeyBounds>(Sequence(tokens, 2, 2, 24));
        check_algorithms<some, mask::MeanKey>(Sequence(tokens, 2, 2, 24));
    }
    check_algorithms<narrow, mask::KeyBounds>(Sequence(300, 2, 2, 24));
    check_algorithms<wide, mask::KeyBounds>(Sequence(size_of(900, 450), 1, 4, 8));  // multi-query
    check_algorithms<some, mask::KeyBounds>(Sequence(500, 3, 1, 32));               // multi-head
    check_algorithms<some, mask::MeanKey>(
        Sequence(size_of(400, 210), 1, 200, 8));                         // a group that exceeds a block of queries
    check<some, mask::KeyBounds, ShortChunks>(Sequence(700, 2, 2, 72));  // keys in many segments, split in decode
    check<BlockBudget{.keep = 0, .local = 1}, mask::MeanKey, attention::Flash>(Sequence(400, 2, 2, 8));
}

TEST_CASE("a learned router chooses by its tables") {
    Sequence s(500, 2, 2, 24);
    for (const auto seed : {std::uint64_t{1}, std::uint64_t{2}})
        s.tables.push_back(testing::Rng(seed).floats(2 * 5 * 24));
    check_algorithms<BlockBudget{.keep = 2, .local = 1}, mask::Router<5>>(s);
}

TEST_CASE("with a budget for all blocks DynamicSparse has the bits of Causal") {
    execution::Threads<>::Team team(2);
    const Sequence s(700, 2, 2, 32);
    const auto causal = run<attention::Flash<mask::Causal>>(s, team, 100);
    CHECK(
        testing::same_bits(run<attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 100}>>>(s, team, 100), causal));
    CHECK(testing::same_bits(
        run<attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 0, .local = 100}>>>(s, team, 100), causal));
}

TEST_CASE("DynamicSparse keeps a block that one key alone makes worth it") {
    constexpr std::int64_t tokens = 1000, needle = 300, d = 32;
    Sequence s(tokens, 1, 2, d);
    const auto last = static_cast<std::size_t>((tokens - 1) * 2 * d);
    for (std::size_t c = 0; c < d; ++c) {  // both heads of the last token look for the needle
        const float x = c % 3 == 0 ? 2.9f : -2.9f;
        s.queries[last + c] = s.queries[last + d + c] = x;
        s.keys[static_cast<std::size_t>(needle * d) + c] = x > 0 ? 4.0f : -4.0f;
    }
    execution::Serial::Team team(1);
    const auto found =
        run<attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 1, .local = 1, .global = 0}>>>(s, team, tokens);
    for (std::size_t c = 0; c < d; ++c)
        CHECK(std::abs(found[last + c] - s.values[static_cast<std::size_t>(needle * d) + c]) < 1e-4f);
}

TEST_CASE("the work follows the blocks that are kept") {
    const auto tiles_met = [](const auto& mask, std::int64_t first, std::int64_t tokens) {
        const attention::QueryBlock q{nullptr, tokens, 0, 1, first, first + tokens};
        std::int64_t met = 0;
        attention::for_each_tile(
            q, mask, [](std::int64_t index) { return index; }, [&](std::int64_t) { ++met; });
        return met;
    };
    // 64 blocks: 4 local, 1 global, and the last of every 8 up to the 60th
    CHECK(tiles_met(mask::BlockSparse<BlockPattern{.block = 64, .local = 4, .global = 1, .stride = 8}>{}, 4095, 1) ==
          4 + 1 + 7);
    CHECK(tiles_met(mask::BlockSparse<BlockPattern{.block = 128, .local = 2, .global = 0}>{}, 4095, 1) == 4);
    std::vector<std::uint64_t> bits(4);
    mask::Selection chosen(bits.data(), 2, 8190, 64);
    for (const std::int64_t b : {0, 17, 64, 127}) chosen.choose(8190, b);
    chosen.choose(8191, 127);
    CHECK(tiles_met(chosen, 8190, 1) == 4);
    CHECK(tiles_met(chosen, 8191, 1) == 1);
    CHECK(tiles_met(chosen, 8190, 2) == 4);
}

}  // namespace dynamic_sparse_test
