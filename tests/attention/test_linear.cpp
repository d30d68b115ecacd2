#include "fixture.hpp"

using namespace qwen3vl_test;

namespace linear_test {

template <int N, class Team>
std::vector<float> linear(const Sequence& s, Team& team, std::int64_t chunk) {
    return run<attention::Linear<Features{N}>, kv_cache::Recurrent<Features{N}>>(s, team, chunk);
}

/// The definition in double, with the library's directions: quotients of sums over the features.
std::vector<double> oracle(const Sequence& s, std::int64_t features) {
    const auto& directions = attention::RandomDirections::of(features, s.head_dim, s.channels());
    const double root = std::sqrt(std::sqrt(static_cast<double>(s.head_dim)));
    const auto features_of = [&](const float* x) {
        std::vector<double> found;
        double square = 0;
        for (std::int64_t c = 0; c < s.head_dim; ++c) square += std::pow(static_cast<double>(x[c]) / root, 2);
        for (std::int64_t f = 0; f < features; ++f) {
            double along = 0;
            for (std::int64_t c = 0; c < s.head_dim; ++c)
                along += static_cast<double>(directions.row(f)[c]) * static_cast<double>(x[c]) / root;
            found.push_back(std::exp(along - square / 2));
        }
        return found;
    };
    std::vector<double> out(static_cast<std::size_t>(s.tokens * s.q_dim()));
    for (std::int64_t h = 0; h < s.kv_heads; ++h) {
        std::vector<std::vector<double>> keys;
        for (std::int64_t t = 0; t < s.tokens; ++t) {
            keys.push_back(features_of(s.keys.data() + (t * s.kv_heads + h) * s.head_dim));
            for (std::int64_t g = 0; g < s.group; ++g) {
                const std::int64_t at = t * s.q_dim() + (h * s.group + g) * s.head_dim;
                const auto query = features_of(s.queries.data() + at);
                double total = 0;
                for (std::int64_t k = 0; k <= t; ++k) {
                    double weight = 0;
                    for (std::size_t f = 0; f < query.size(); ++f)
                        weight += query[f] * keys[static_cast<std::size_t>(k)][f];
                    total += weight;
                    for (std::int64_t c = 0; c < s.head_dim; ++c)
                        out[static_cast<std::size_t>(at + c)] +=
                            weight * static_cast<double>(
                                         s.values[static_cast<std::size_t>((k * s.kv_heads + h) * s.head_dim + c)]);
                }
                for (std::int64_t c = 0; c < s.head_dim; ++c) out[static_cast<std::size_t>(at + c)] /= total;
            }
        }
    }
    return out;
}

double mean_difference(const std::vector<float>& found, const std::vector<double>& expected) {
    double sum = 0;
    for (std::size_t i = 0; i < found.size(); ++i) sum += std::abs(static_cast<double>(found[i]) - expected[i]);
    return sum / static_cast<double>(found.size());
}

TEST_CASE("linear attention equals its oracle however the sequence is cut and run") {
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto check = [&](const Sequence& s) {
        CAPTURE(s.tokens, s.kv_heads, s.group, s.head_dim);
        const auto whole = linear<64>(s, serial, 129);
        // exponents w · x - |x|^2 / 2 of |x| <= 3 sqrt(head_dim) / head_dim^(1/4), |w| some sqrt(head_dim), of sums
        // over head_dim; all weights are positive, so that their relative errors carry over; sums over 64 features and
        // the keys
        const double d = static_cast<double>(s.head_dim), exponent = 3 * std::pow(d, 0.25) * std::sqrt(d) * 2;
        const double tolerance =
            testing::float_roundoff * (2 * exponent * (d + 4) + 4 * (64 + static_cast<double>(s.tokens)));
        CHECK(testing::largest_difference(whole, oracle(s, 64)) <= tolerance);
        for (const std::int64_t chunk : {1, 7, 64, 90}) CHECK(testing::same_bits(linear<64>(s, threads, chunk), whole));
    };
    for (const std::int64_t tokens : {1, 2, 63, 64, 65, 128, 129, 300}) check(Sequence(tokens, 2, 2, 24));
    check(Sequence(200, 3, 1, 32));   // multi-head
    check(Sequence(150, 1, 8, 8));    // multi-query, blocks of queries shorter than a tile
    check(Sequence(130, 1, 200, 8));  // a group that exceeds a block of queries
}

TEST_CASE("linear attention stays finite where all features but one vanish") {
    execution::Serial::Team team(1);
    Sequence s(200, 1, 2, 32);
    for (float& k : s.keys) k *= 100;
    for (float& q : s.queries) q *= 100;
    const auto found = linear<64>(s, team, 129);
    // a mean of values within 1
    CHECK(std::all_of(found.begin(), found.end(), [](float x) { return std::abs(x) <= 1 + 1e-4f; }));
}

TEST_CASE("linear attention comes closer to softmax with more features") {
    execution::Serial::Team team(1);
    Sequence s(400, 2, 2, 32);
    for (float& q : s.queries) q *= 0.3f;  // scores within 5, as trained heads have them for most keys
    const auto exact = s.expected<mask::Causal>();
    const double few = mean_difference(linear<64>(s, team, 100), exact),
                 some = mean_difference(linear<256>(s, team, 100), exact),
                 many = mean_difference(linear<1024>(s, team, 100), exact);
    CAPTURE(few, some, many);
    CHECK(some < 0.7 * few);
    CHECK(many < 0.7 * some);
    CHECK(many < 0.02);
}

}  // namespace linear_test
