#include "fixture.hpp"

using namespace qwen3vl_test;

namespace evicting_test {

template <int Budget, class Rating = kv_cache::HeavyHitters, class Codec = kv_cache::Float32>
using Evicting = kv_cache::Evicting<Tokens{Budget}, Rating, Protected{.sinks = 3, .recent = 30}, Codec>;

/// The definition in double, token after token, and how many keys were given up.
struct Oracle {
    std::vector<double> values;
    std::int64_t gone = 0;
    double closest = 1;  ///< least relative distance between a rating that stayed and one that went

    template <class Cache>
    Oracle(const Sequence& s, type_tag<Cache>) : values(static_cast<std::size_t>(s.tokens * s.q_dim())) {
        struct Key {
            std::int64_t at;
            double rating = 0;
        };
        const auto budget = static_cast<std::size_t>(Cache::budget);
        for (std::int64_t h = 0; h < s.kv_heads; ++h) {
            std::vector<Key> kept, latest;
            const auto number = [&](const std::vector<float>& rows, std::int64_t t, std::int64_t c) {
                return static_cast<double>(rows[static_cast<std::size_t>((t * s.kv_heads + h) * s.head_dim + c)]);
            };
            for (std::int64_t t = 0; t < s.tokens; ++t) {
                if (t % 64 == 0 && !Cache::rating::accumulates)
                    for (Key& k : kept) k.rating = 0;
                latest.push_back({t});
                std::vector<Key*> seen;
                for (Key& k : kept) seen.push_back(&k);
                for (Key& k : latest) seen.push_back(&k);
                for (std::int64_t g = 0; g < s.group; ++g) {
                    const std::int64_t row = t * s.q_dim() + (h * s.group + g) * s.head_dim;
                    std::vector<double> weights;
                    double total = 0;
                    for (const Key* k : seen) {
                        double score = 0;
                        for (std::int64_t c = 0; c < s.head_dim; ++c)
                            score += static_cast<double>(s.queries[static_cast<std::size_t>(row + c)]) *
                                     number(s.keys, k->at, c);
                        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(s.head_dim))));
                        total += weights.back();
                    }
                    for (std::size_t i = 0; i < seen.size(); ++i) {
                        if (t % 64 >= 64 - Cache::rating::queries) seen[i]->rating += weights[i] / total;
                        for (std::int64_t c = 0; c < s.head_dim; ++c)
                            values[static_cast<std::size_t>(row + c)] +=
                                weights[i] / total * number(s.values, seen[i]->at, c);
                    }
                }
                if (t % 64 != 63) continue;
                kept.insert(kept.end(), latest.begin(), latest.end());
                latest.clear();
                if (kept.size() <= budget) continue;
                std::vector<Key> open, safe;
                for (const Key& k : kept) (k.at < 3 || k.at >= t + 1 - 30 ? safe : open).push_back(k);
                std::sort(open.begin(), open.end(), [](const Key& a, const Key& b) {
                    return a.rating != b.rating ? a.rating < b.rating : a.at < b.at;
                });
                if (open.size() > 64 && open[64].rating > 0)
                    closest = std::min(closest, (open[64].rating - open[63].rating) / open[64].rating);
                gone += 64;
                kept = safe;
                kept.insert(kept.end(), open.begin() + 64, open.end());
            }
        }
    }
};

template <class Cache, class Attention = attention::Flash<>>
void check(const Sequence& s) {
    CAPTURE(Cache::name, Cache::budget, s.tokens, s.kv_heads, s.group, s.head_dim);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const Oracle expected(s, type_tag<Cache>{});
    CHECK(expected.gone > 0);
    if (Cache::rating::queries > 0) CHECK(expected.closest > 1e-5);  // the choice does not hang on rounding
    const auto whole = run<Attention, Cache>(s, serial, 129);
    CHECK(testing::largest_difference(whole, expected.values) <= s.tolerance());
    for (const std::int64_t chunk : {1, 7, 64, 100})
        CHECK(testing::same_bits(run<Attention, Cache>(s, threads, chunk), whole));
}

TEMPLATE_TEST_CASE("an evicting cache equals its oracle however the sequence is cut and run", "",
                   kv_cache::HeavyHitters, kv_cache::LatestQueries<>, kv_cache::LatestQueries<Tokens{50}>,
                   kv_cache::Age) {
    check<Evicting<64, TestType>>(Sequence(300, 2, 2, 24));
    check<Evicting<128, TestType>>(Sequence(650, 2, 2, 24));
    check<Evicting<128, TestType>>(Sequence(333, 3, 1, 32));  // multi-head
    check<Evicting<128, TestType>>(Sequence(260, 1, 8, 8));   // multi-query
    check<Evicting<64, TestType>>(Sequence(200, 1, 200, 8));  // a group that exceeds a block of queries
    check<Evicting<128, TestType>, attention::Dense<>>(Sequence(270, 2, 2, 24));
    check<Evicting<128, TestType>, attention::Chunked<>>(Sequence(270, 2, 2, 24));
}

TEMPLATE_LIST_TEST_CASE("an evicting cache that is never full has the bits of a contiguous one", "",
                        testing::tuple_t<kv_cache::codecs>) {
    using Codec = typename TestType::type;
    execution::Threads<>::Team team(3);
    for (const std::int64_t tokens : {1, 63, 64, 65, 200, 256}) {
        const Sequence s(tokens, 2, 2, 24);
        const auto exact = run<attention::Flash<>, kv_cache::Contiguous<Codec>>(s, team, tokens);
        for (const std::int64_t chunk : {1, 60, 129})
            CHECK(testing::same_bits(
                run<attention::Flash<>, Evicting<192, kv_cache::HeavyHitters, Codec>>(s, team, chunk), exact));
    }
}

TEMPLATE_LIST_TEST_CASE("an evicting cache keeps what its codec keeps, however the sequence is cut", "",
                        testing::tuple_t<kv_cache::codecs>) {
    using Codec = typename TestType::type;
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const Sequence s(500, 2, 2, 40);
    using Cache = Evicting<128, kv_cache::HeavyHitters, Codec>;
    const auto whole = run<attention::Flash<>, Cache>(s, serial, 129);
    for (const std::int64_t chunk : {1, 50})
        CHECK(testing::same_bits(run<attention::Flash<>, Cache>(s, threads, chunk), whole));
    // a row that moved is the row it was: by age alone, the last tokens' results are those over the sinks and the
    // latest keys
    using ByAge = Evicting<128, kv_cache::Age, Codec>;
    using Window = mask::SlidingWindow<qwen3vl::Window{.tokens = 125 + 64, .sinks = 3}>;
    const auto by_age = run<attention::Flash<>, ByAge>(s, threads, 129);
    const auto window = run<attention::Dense<Window>, kv_cache::Contiguous<Codec>>(s, threads, 500);
    const std::int64_t last = 447;  // sees 128 kept keys, three of them sinks, and a whole tile
    double difference = 0;
    for (std::int64_t c = 0; c < s.q_dim(); ++c) {
        const auto at = static_cast<std::size_t>(last * s.q_dim() + c);
        difference = std::max(difference, std::abs(static_cast<double>(by_age[at]) - static_cast<double>(window[at])));
    }
    CHECK(difference <= s.tolerance());
}

}  // namespace evicting_test
