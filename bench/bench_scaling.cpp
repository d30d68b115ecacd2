// bench_scaling: attention over whole prompts, one layer of the 2B, in chunks as in prefill, and over pictures, one
// block of its tower: time, scratch and cache by the number of tokens or patches, and how they grow. All cells are
// measured in turns, --rounds times, each time as often as fits into --seconds, once at least; of each the best counts.
// The longest prompts of slow policies are seen once a round.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <qwen3vl/position/position.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <regex>
#include "attention_layer.hpp"
#include "json_file.hpp"
#include "tower_layer.hpp"
#include "visible_pairs.hpp"

namespace {
namespace q = qwen3vl;
using json = nlohmann::ordered_json;
using Team = q::execution::Threads<>::Team;

/// What the others of the decoder and of the tower are compared with; they come first.
constexpr const char* dense = "attention/Dense/Causal";
constexpr const char* dense_tower = "vision/Dense/Full";
/// Exponents are fitted from so many tokens on: below, what does not depend on the prompt counts too.
constexpr std::int64_t fit_from = 1024;

struct Options {
    std::vector<std::int64_t> tokens = {256, 512, 1024, 2048, 4096, 8192, 16384};
    std::string filter = ".", json_file;
    std::int64_t heads = bench::text.heads;
    int threads = 0, rounds = 3;
    double seconds = 0.3;
};

struct Point {
    std::int64_t tokens = 0;
    double ms = 0, against_dense = 0;  ///< 0: Dense was not measured
    double scratch_bytes = 0;
    double kv_bytes = 0;     ///< of the whole 2B; 0: the tower, which keeps nothing
    double difference = -1;  ///< of the last chunk's results from Dense's, the mean of the magnitudes; below 0: Dense
                             ///< was not measured, or in other chunks
    double pairs = 0;        ///< of query and visible key, in one head; 0: the mask alone does not say
    double ns_per_pair() const { return pairs > 0 ? ms * 1e6 / pairs : 0; }
};

/// Pairs of query and visible key; 0 where they depend on the keys.
template <class Mask>
double visible_pairs(std::int64_t tokens) {
    if constexpr (q::concepts::StatefulMask<Mask>)
        return 0;
    else {
        bench::Conversation types(tokens);
        return bench::visible_pairs(q::testing::mask_over<Mask>(types.types()), 0, tokens, tokens);
    }
}

/// p of value = c tokens^p: least squares on logarithms over the points from fit_from tokens on; nothing where they are
/// fewer than two.
std::optional<double> exponent(const std::vector<Point>& points, double Point::*value) {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (const auto& p : points) {
        if (p.tokens < fit_from) continue;
        const double a = std::log(static_cast<double>(p.tokens)), b = std::log(p.*value);
        n += 1, x += a, y += b, xx += a * a, xy += a * b;
    }
    if (n < 2) return {};
    return (n * xy - x * y) / (n * xx - x * x);
}

/// `results`: those of the last chunk.
template <class Layer>
Point measure(Team& team, const Options& o, std::int64_t tokens, std::vector<float>& results) {
    const std::int64_t group = bench::text.group(), kv_heads = o.heads / group;
    Layer layer(team, kv_heads, tokens);
    q::testing::Rng random(1);
    const auto rows = random.floats(static_cast<std::size_t>(tokens + 2 * bench::channels));
    for (std::int64_t t = 0; t < tokens; ++t)
        for (std::int64_t h = 0; h < kv_heads; ++h)
            layer.write(h, t, rows.data() + t, rows.data() + t + bench::channels);
    const std::int64_t chunk = std::min(bench::chunk_tokens, layer.largest_chunk());
    const auto queries = random.floats(static_cast<std::size_t>(chunk * o.heads * bench::channels),
                                       static_cast<float>(1 / std::sqrt(bench::text.head_dim)));
    std::vector<float> out(queries.size());
    double best = 1e9;
    const auto begin = bench::Clock::now();
    for (int runs = 0; runs < 1 || bench::seconds_since(begin) < o.seconds; ++runs) {
        const auto start = bench::Clock::now();
        for (std::int64_t first = 0; first < tokens; first += chunk) {
            const std::int64_t count = std::min(chunk, tokens - first);
            layer.attend(queries.data(), first, count, out.data());
        }
        best = std::min(best, bench::seconds_since(start));
    }
    Point p{.tokens = tokens, .ms = best * 1e3};
    results = std::move(out);
    p.scratch_bytes = static_cast<double>(layer.scratch_bytes());
    p.kv_bytes = static_cast<double>(Layer::model_bytes(tokens));
    p.pairs = visible_pairs<typename Layer::Mask>(tokens);
    return p;
}

/// `results`: of all patches.
template <class Layer>
Point measure_tower(Team& team, const Options& o, const q::Grid& grid, std::vector<float>& results) {
    Layer layer(team, grid);
    q::testing::Rng random(1);
    constexpr std::int64_t channels = q::kv_cache::padded_channels(bench::vision.head_dim());
    const std::int64_t patches = grid.patches();
    const auto queries = random.floats(static_cast<std::size_t>(patches + channels),
                                       static_cast<float>(1 / std::sqrt(bench::vision.head_dim())));
    const auto rows = random.floats(static_cast<std::size_t>(patches + 2 * channels));
    for (std::int64_t i = 0; i < patches; ++i)
        for (std::int64_t h = 0; h < bench::vision.heads; ++h)
            layer.write(h, i, queries.data() + i, rows.data() + i, rows.data() + i + channels);
    double best = 1e9;
    const auto begin = bench::Clock::now();
    for (int runs = 0; runs < 1 || bench::seconds_since(begin) < o.seconds; ++runs) {
        const auto start = bench::Clock::now();
        layer.attend();
        best = std::min(best, bench::seconds_since(start));
    }
    results = layer.results();
    Point p{.tokens = patches, .ms = best * 1e3};
    p.scratch_bytes = static_cast<double>(layer.scratch_bytes());
    p.pairs = layer.pairs();
    return p;
}

/// The mean of |a - b|; -1 where they are results of chunks of other lengths.
double mean_difference(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) return -1;
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    return sum / static_cast<double>(a.size());
}

/// A number that is known when it is above 0.
std::string shown(double value, int digits) {
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return value > 0 ? text : "-";
}
json number(double value) { return value > 0 ? json(value) : json(nullptr); }

json row_of(const bench::Policy& policy, const std::vector<Point>& points) {
    json row = policy.json();
    for (const auto& [name, value] :
         {std::pair{"time_exponent", &Point::ms}, std::pair{"scratch_exponent", &Point::scratch_bytes}}) {
        const auto p = exponent(points, value);
        row[name] = p ? json(*p) : json(nullptr);
        if (p) std::printf("%-36s %s %.2f\n", "", name, *p);
    }
    row["points"] = json::array();
    for (const auto& p : points)
        row["points"].push_back({{"tokens", p.tokens},
                                 {"ms", p.ms},
                                 {"against_dense", number(p.against_dense)},
                                 {"mean_difference", p.difference < 0 ? json(nullptr) : json(p.difference)},
                                 {"scratch_bytes", p.scratch_bytes},
                                 {"kv_bytes", number(p.kv_bytes)},
                                 {"pairs", number(p.pairs)},
                                 {"ns_per_pair", number(p.ns_per_pair())}});
    return row;
}

void print(const bench::Policy& policy, const Point& p) {
    std::printf("%-36s %7lld %10.3f %8s %12.0f %10s %12s %8s\n", policy.name().c_str(),
                static_cast<long long>(p.tokens), p.ms, shown(p.against_dense, 3).c_str(), p.scratch_bytes / 1024,
                shown(p.kv_bytes / (1 << 20), 2).c_str(), shown(p.pairs, 0).c_str(), shown(p.ns_per_pair(), 2).c_str());
    std::fflush(stdout);
}

void run(const Options& o) {
    q::arch::require_supported<bench::Arch>();
    Team team(o.threads);
    const std::regex filter(o.filter);
    std::printf("%s, %d threads, %lld heads, exponents over %lld tokens and more\n", bench::machine().c_str(),
                team.threads(), static_cast<long long>(o.heads), static_cast<long long>(fit_from));
    std::printf("%-36s %7s %10s %8s %12s %10s %12s %8s\n", "policy", "tokens", "ms", "of Dense", "scratch KiB",
                "KV MiB", "pairs", "ns/pair");
    std::map<std::string, std::map<std::int64_t, double>> best;               // milliseconds by policy and tokens
    std::map<std::string, std::map<std::int64_t, std::vector<float>>> exact;  // Dense's results by tokens
    json rows = json::array();
    for (int round = 1; round <= o.rounds; ++round) {
        // measured(tokens, results) for each length, beside what was measured of `baseline`
        const auto add = [&](const bench::Policy& policy, const std::string& baseline, auto&& measured) {
            if (!std::regex_search(policy.name(), filter)) return;
            std::vector<Point> points;
            for (const auto tokens : o.tokens) {
                std::vector<float> results;
                Point p = measured(tokens, results);
                double& ms = best[policy.name()].try_emplace(tokens, p.ms).first->second;
                p.ms = ms = std::min(ms, p.ms);
                if (policy.name() == baseline) exact[baseline][tokens] = results;
                if (best.contains(baseline))
                    p.against_dense = ms / best[baseline][tokens],
                    p.difference = mean_difference(results, exact[baseline][tokens]);
                if (round == o.rounds) print(policy, p);
                points.push_back(p);
            }
            if (round == o.rounds) rows.push_back(row_of(policy, points));
        };
        bench::for_each_policy<q::kv_cache::Bf16>([&]<class Layer>(const bench::Policy& policy, q::type_tag<Layer>) {
            add(policy, dense, [&](std::int64_t tokens, std::vector<float>& results) {
                return measure<Layer>(team, o, tokens, results);
            });
        });
        bench::for_each_tower_policy([&]<class Layer>(const bench::Policy& policy, q::type_tag<Layer>) {
            add(policy, dense_tower, [&](std::int64_t patches, std::vector<float>& results) {
                const auto grid = bench::grid_of(patches);
                if (!grid)
                    throw q::ConfigError("--tokens: pictures have a multiple of 4 patches, not " +
                                         std::to_string(patches) + "; or leave out vision by --filter");
                return measure_tower<Layer>(team, o, *grid, results);
            });
        });
    }
    if (rows.empty()) throw q::ConfigError("--filter: no policy's name matches " + o.filter);
    json positions = json::array();
    q::for_each_type<q::position::text_all>([&]<class T>(T) { positions.push_back(T::type::name); });
    bench::write_json(o.json_file, {{"machine", bench::machine()},
                                    {"arch", bench::Arch::name},
                                    {"threads", team.threads()},
                                    {"heads", o.heads},
                                    {"chunk", bench::chunk_tokens},
                                    {"fit_from", fit_from},
                                    {"positions", positions},
                                    {"rows", rows}});
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    bool quick = false;
    CLI::App app{"Attention over whole prompts and pictures by their length: time, memory, and the exponents of both."};
    app.add_option("--tokens", o.tokens, "lengths of the prompt, patches of the picture")
        ->delimiter(',')
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    app.add_option("--threads", o.threads, "0: the physical cores")->check(CLI::Range(0, 1024))->capture_default_str();
    app.add_option("--heads", o.heads, "query heads of the decoder; whole groups")
        ->check(CLI::Range(1, bench::text.heads))
        ->capture_default_str();
    app.add_option("--rounds", o.rounds, "how often each cell is measured, in turns")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--seconds", o.seconds, "how long each cell is repeated in a round")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--filter", o.filter, "a regular expression: only policies whose name it is found in")
        ->capture_default_str();
    app.add_option("--json", o.json_file, "writes the result to this file");
    app.add_flag("--quick", quick, "short prompts, one group of heads, one run: says nothing about speed");
    CLI11_PARSE(app, argc, argv);
    if (quick) {
        o.tokens = {256, 1024, 2048};
        o.heads = bench::text.group();
        o.rounds = 1;
        o.seconds = 0;
    }
    try {
        if (o.heads % bench::text.group() != 0)
            throw q::ConfigError("--heads: expected a multiple of " + std::to_string(bench::text.group()));
        run(o);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "bench_scaling: %s\n", e.what());
        return 1;
    }
    return 0;
}
