// bench_fusion: what joining a picture to the text costs by fusion policy, on a model of synthetic weights: the tokens
// of the sequence, the bytes of keys and values, the time to the first token of a question about the picture, with the
// tower's apart, and that of a decoded token.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <qwen3vl/fusion/fusion.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/synthetic_source.hpp>
#include "json_file.hpp"
#include "limits.hpp"
#include "with_dims.hpp"

namespace {
namespace q = qwen3vl;
using json = nlohmann::ordered_json;

struct Options {
    std::string dims = "Qwen3VL_2B", json_file;
    std::vector<std::string> fusions = {"stock", "inside", "outside"};
    std::vector<int> pictures = {512, 1024};
    int question = 40, threads = 0, rounds = 3;
};

/// The best of several runs, in seconds.
template <class F>
double best_of(int rounds, F&& f) {
    double best = 1e9;
    for (int i = 0; i < rounds; ++i) {
        const auto start = bench::Clock::now();
        f();
        best = std::min(best, bench::seconds_since(start));
    }
    return best;
}

std::vector<int> random_words(int n) {
    q::testing::Rng random(2);
    std::vector<int> tokens(static_cast<std::size_t>(n));
    for (int& t : tokens) t = random.below(400);
    return tokens;
}

/// Bytes of the keys and values that a conversation of this extent has in use.
template <class M>
std::int64_t key_bytes(const q::SavedExtent& used) {
    using Fusion = typename M::policies::Fusion;
    std::int64_t bytes = 0;
    for (const auto& part : M::memory_plan({.context = static_cast<int>(used.tokens)}).parts)
        if (part.name == "kv_cache") bytes += part.bytes;
    return bytes + q::state_of<Fusion>::saved_bytes(q::model_dims<typename M::dims>(), used);
}

template <class D, class Fusion>
void run_model(const Options& o, const char* name, json& rows) {
    using M = q::Model<D, q::Policies<>::with_fusion<Fusion>>;
    const auto source = q::testing::SyntheticSource::of<M>(1, o.threads);
    const M model(*source, source, nullptr, {.threads = o.threads});
    source->release_unmapped();
    q::Session<M> session(model, {.context = 2048, .chunk = 512, .threads = o.threads, .largest_picture = {}});
    for (const int pixels : o.pictures) {
        const int side = pixels / D::vision.patch / D::vision.merge * D::vision.merge;
        const q::Grid grid{1, side, side};
        const q::Patches patches{
            grid, q::testing::Rng(1).floats(static_cast<std::size_t>(grid.patches() * D::vision.patch_values()))};
        q::Prompt prompt;
        const double tower = best_of(o.rounds, [&] { prompt.visuals = {q::encode(session.workspace(), patches)}; });
        prompt.tokens.assign(static_cast<std::size_t>(prompt.visuals[0]->span_tokens()), D::tokens.image);
        const auto words = random_words(o.question);
        prompt.tokens.insert(prompt.tokens.end(), words.begin(), words.end());
        const double first = best_of(o.rounds, [&] {
            session.reset();
            session.append(prompt);
        });
        const double next = best_of(4 * o.rounds, [&] { session.append(7); });
        const q::SavedExtent used{std::ssize(prompt.tokens), prompt.visuals[0]->tokens()};
        const double mebibytes = static_cast<double>(key_bytes<M>(used)) / (1 << 20);
        std::printf("%-24s %6d %8lld %8lld %10.1f %10.2f %10.2f %10.1f\n", name, pixels,
                    static_cast<long long>(used.visual_tokens), static_cast<long long>(used.tokens), mebibytes, tower,
                    first, 1e3 * next);
        rows.push_back({{"fusion", name},
                        {"picture", pixels},
                        {"visual_tokens", used.visual_tokens},
                        {"tokens", used.tokens},
                        {"kv_bytes", key_bytes<M>(used)},
                        {"tower_s", tower},
                        {"first_token_s", first},
                        {"next_token_s", next}});
    }
}

template <class D>
void run_all(const Options& o) {
    std::printf("%s, %s, %d threads\n", bench::machine().c_str(), D::name, o.threads);
    std::printf("%-24s %6s %8s %8s %10s %10s %10s %10s\n", "fusion", "pixels", "visual", "tokens", "KV MiB", "tower s",
                "first s", "next ms");
    json rows = json::array();
    namespace f = q::fusion;
    const auto wanted = [&](const char* name) {
        return std::find(o.fusions.begin(), o.fusions.end(), name) != o.fusions.end();
    };
    if (wanted("stock")) run_model<D, f::DeepStack>(o, "DeepStack", rows);
    if (wanted("inside")) run_model<D, f::CrossAttention<f::pictures::Inside<>>>(o, "CrossAttention, inside", rows);
    if (wanted("outside")) run_model<D, f::CrossAttention<f::pictures::Outside<>>>(o, "CrossAttention, outside", rows);
    bench::write_json(o.json_file,
                      {{"machine", bench::machine()}, {"dims", D::name}, {"threads", o.threads}, {"rows", rows}});
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    CLI::App app{"Pictures in the prompt by fusion policy: tokens, bytes of keys and values, seconds."};
    app.add_option("--dims", o.dims, "the model's extents")->capture_default_str();
    app.add_option("--fusion", o.fusions,
                   "stock, or cross-attention with the pictures inside or outside; by default all")
        ->delimiter(',')
        ->check(CLI::IsMember({"stock", "inside", "outside"}));
    app.add_option("--pictures", o.pictures, "sides of the pictures, in pixels")
        ->delimiter(',')
        ->check(CLI::Range(64, 1024))
        ->capture_default_str();
    app.add_option("--question", o.question, "tokens of text behind the picture")
        ->check(CLI::Range(1, 500))
        ->capture_default_str();
    app.add_option("--threads", o.threads, "0: the physical cores")->check(CLI::Range(0, 1024))->capture_default_str();
    app.add_option("--rounds", o.rounds, "the best counts")->check(CLI::Range(1, 1000))->capture_default_str();
    app.add_option("--json", o.json_file, "writes the result to this file");
    CLI11_PARSE(app, argc, argv);
    try {
        q::arch::require_supported<bench::Arch>();
        if (o.threads == 0) o.threads = q::execution::physical_cores();
        bench::with_dims(o.dims, [&]<class D>(q::type_tag<D>) { run_all<D>(o); });
    } catch (const std::exception& e) {
        std::fprintf(stderr, "bench_fusion: %s\n", e.what());
        return 1;
    }
    return 0;
}
