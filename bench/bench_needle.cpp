// bench_needle: can attention find one key among many? Keys are random unit vectors, values random; each query head of
// the last token looks for a key of its own, the needle. The figure is the relative error of what it gets against
// causal attention in double over the same numbers.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <qwen3vl/reference/attention.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <regex>
#include "attention_layer.hpp"
#include "json_file.hpp"

namespace {
namespace q = qwen3vl;
using json = nlohmann::ordered_json;
using Team = q::execution::Threads<>::Team;
using q::reference::Rows;

constexpr std::int64_t kv_heads = bench::text.kv_heads, group = bench::text.group(), head_dim = bench::text.head_dim;
static_assert(head_dim == bench::channels, "rows of the cache are used as they are");

/// The needle's score, e^16 to 1 of an average key: over 99 % of the softmax among 16384 keys, whose other scores are
/// spread by 16 / sqrt(head_dim).
constexpr double needle_score = 16;

struct Options {
    std::vector<std::int64_t> tokens = {4096, 16384};
    std::string filter = ".", json_file;
    int threads = 0;
};

/// Where needles lie: anywhere in a sixteenth of the tokens.
struct Depth {
    const char* name;
    double from;
};
constexpr std::array depths = {Depth{"beginning", 0.0}, Depth{"middle", 15.0 / 32}, Depth{"end", 15.0 / 16}};

/// Queries of the last token and what they should get.
struct Question {
    std::vector<float> queries;  ///< [kv_heads, 1, group, head_dim]
    Rows exact{1, 0};            ///< [1, heads * head_dim]
};

/// Rows of float32 numbers.
void fill(Rows& rows, q::testing::Rng& random) {
    for (double& x : rows.values) x = static_cast<double>(random.signed_unit());
}
/// Every head's part of every row becomes a unit vector, rounded to float32.
void normalise(Rows& rows) {
    for (auto at = rows.values.begin(); at != rows.values.end(); at += head_dim) {
        double sum = 0;
        for (auto x = at; x != at + head_dim; ++x) sum += *x * *x;
        for (auto x = at; x != at + head_dim; ++x) *x = static_cast<double>(static_cast<float>(*x / std::sqrt(sum)));
    }
}

/// Keys and values [tokens, kv_heads * head_dim], and a question for each depth.
struct Haystack {
    Rows keys, values;
    std::array<Question, depths.size()> questions;

    explicit Haystack(std::int64_t tokens)
        : keys(static_cast<std::size_t>(tokens), static_cast<std::size_t>(kv_heads * head_dim)),
          values(keys.rows, keys.cols) {
        q::testing::Rng random(1);
        fill(keys, random);
        normalise(keys);
        fill(values, random);
        for (std::size_t d = 0; d < depths.size(); ++d) questions[d] = ask(depths[d], random);
    }

    /// f(float32 key, float32 value, head, token) for every row of tokens [first, first + count).
    template <class F>
    void for_each(std::int64_t first, std::int64_t count, F&& f) const {
        std::array<float, head_dim> key, value;
        for (auto t = static_cast<std::size_t>(first); t < static_cast<std::size_t>(first + count); ++t)
            for (std::size_t h = 0; h < static_cast<std::size_t>(kv_heads); ++h) {
                for (std::size_t c = 0; c < key.size(); ++c) {
                    key[c] = static_cast<float>(keys.at(t, h * key.size() + c));
                    value[c] = static_cast<float>(values.at(t, h * key.size() + c));
                }
                f(key.data(), value.data(), static_cast<std::int64_t>(h), static_cast<std::int64_t>(t));
            }
    }

  private:
    Question ask(const Depth& depth, q::testing::Rng& random) const {
        const auto tokens = static_cast<double>(keys.rows);
        Question question;
        Rows queries(1, static_cast<std::size_t>(kv_heads * group * head_dim));
        for (std::size_t h = 0; h < static_cast<std::size_t>(kv_heads * group); ++h) {
            const auto needle = static_cast<std::size_t>(depth.from * tokens) +
                                static_cast<std::size_t>(random.below(static_cast<int>(tokens / 16)));
            for (std::size_t c = 0; c < head_dim; ++c) {
                const auto x = static_cast<float>(needle_score * keys.at(needle, h / group * head_dim + c));
                question.queries.push_back(x);
                queries.at(0, h * head_dim + c) =
                    static_cast<double>(x) *
                    std::sqrt(static_cast<double>(head_dim));  // which the reference divides by
            }
        }
        question.exact = q::reference::attention(queries, keys, values, head_dim, group, keys.rows - 1,
                                                 [](std::size_t, std::size_t) { return true; });
        return question;
    }
};

/// |got - exact| / |exact| of a head, the mean over all heads: about the share of needles missed, where some are.
double relative_error(const std::vector<float>& got, const Rows& exact) {
    double mean = 0;
    for (std::size_t h = 0; h < static_cast<std::size_t>(kv_heads * group); ++h) {
        double difference = 0, sum = 0;
        for (std::size_t c = 0; c < head_dim; ++c) {
            const double right = exact.at(0, h * head_dim + c), d = static_cast<double>(got[h * head_dim + c]) - right;
            difference += d * d;
            sum += right * right;
        }
        mean += std::sqrt(difference / sum) / static_cast<double>(kv_heads * group);
    }
    return mean;
}

/// By depth.
template <class Layer>
std::array<double, depths.size()> errors(Team& team, const Haystack& hay) {
    const auto tokens = static_cast<std::int64_t>(hay.keys.rows);
    std::array<double, depths.size()> out;
    std::vector<float> got(static_cast<std::size_t>(kv_heads * group * head_dim));
    for (std::size_t d = 0; d < out.size(); ++d) {
        Layer layer(team, kv_heads, tokens);
        const std::int64_t chunk = std::min(bench::chunk_tokens, layer.largest_chunk());
        for (std::int64_t first = 0, count; first < tokens; first += count) {
            count = std::min(chunk, tokens - 1 > first ? tokens - 1 - first : 1);
            hay.for_each(first, count,
                         [&](const float* key, const float* value, std::int64_t head, std::int64_t token) {
                             layer.write(head, token, key, value);
                         });
            if (first + count < tokens) layer.take_in(first, count);
        }
        layer.attend(hay.questions[d].queries.data(), tokens - 1, 1, got.data());
        out[d] = relative_error(got, hay.questions[d].exact);
    }
    return out;
}

void run(const Options& o) {
    q::arch::require_supported<bench::Arch>();
    Team team(o.threads);
    const std::regex filter(o.filter);
    std::printf("%-36s %7s", "policy", "tokens");
    for (const auto& d : depths) std::printf(" %10s", d.name);
    std::printf("\n");
    json rows = json::array();
    for (const auto tokens : o.tokens) {
        const Haystack hay(tokens);
        bench::for_each_policy<q::kv_cache::Float32>([&]<class Layer>(const bench::Policy& policy, q::type_tag<Layer>) {
            if (!std::regex_search(policy.name(), filter)) return;
            const auto found = errors<Layer>(team, hay);
            std::printf("%-36s %7lld", policy.name().c_str(), static_cast<long long>(tokens));
            json row = policy.json();
            row["tokens"] = tokens;
            for (std::size_t d = 0; d < found.size(); ++d) {
                std::printf(" %10.2g", found[d]);
                row[depths[d].name] = found[d];
            }
            std::printf("\n");
            std::fflush(stdout);
            rows.push_back(row);
        });
    }
    if (rows.empty()) throw q::ConfigError("--filter: no policy's name matches " + o.filter);
    bench::write_json(o.json_file, {{"arch", bench::Arch::name}, {"needle_score", needle_score}, {"rows", rows}});
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    bool quick = false;
    CLI::App app{"The error of a value that attention finds by its key, by policy and by where the key lies."};
    app.add_option("--tokens", o.tokens, "keys to find one among")
        ->delimiter(',')
        ->check(CLI::Range(16, 1 << 20))
        ->capture_default_str();
    app.add_option("--threads", o.threads, "0: the physical cores")->check(CLI::Range(0, 1024))->capture_default_str();
    app.add_option("--filter", o.filter, "a regular expression: only policies whose name it is found in")
        ->capture_default_str();
    app.add_option("--json", o.json_file, "writes the result to this file");
    app.add_flag("--quick", quick, "512 keys");
    CLI11_PARSE(app, argc, argv);
    if (quick) o.tokens = {512};
    try {
        run(o);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "bench_needle: %s\n", e.what());
        return 1;
    }
    return 0;
}
