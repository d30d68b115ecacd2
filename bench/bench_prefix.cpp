// bench_prefix: a prompt's first token over kv_cache::Paged. Sessions that begin with the same rules and picture: one
// on an empty pool, one that finds the others' pages, and beside it the rest of the prompt alone, in a session that
// holds the beginning itself: what a shared prefix could cost at the least. In turns.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>
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
    std::string dims = "Qwen3VL_2B", format = "bf16", json_file;
    int rules = 1000, picture = 512, question = 32, threads = 0, rounds = 3;
};

/// The best of the rounds, in seconds.
struct Best {
    double seconds = 1e9;
    template <class F>
    void time(F&& f) {
        const auto start = bench::Clock::now();
        f();
        seconds = std::min(seconds, bench::seconds_since(start));
    }
};

template <class D, class Format>
void run_model(const Options& o) {
    using Text = q::TextPolicies<>::with_weights<Format>::template with_kv_cache<q::kv_cache::Paged<>>;
    using M = q::Model<D, typename q::PoliciesWithWeights<Format>::template with_text<Text>>;
    const auto source = q::testing::SyntheticSource::of<M>(1, o.threads);
    q::LoadOptions load;
    load.threads = o.threads;
    const M model(*source, source, nullptr, load);
    source->release_unmapped();

    const auto words = [](int n, std::uint64_t seed) {
        q::testing::Rng random(seed);
        std::vector<int> tokens(static_cast<std::size_t>(n));
        for (int& t : tokens) t = random.below(400);
        return tokens;
    };
    q::Prompt beginning{words(o.rules, 1), {}};
    q::PagePool<M> pool(model, {.tokens = 8192});
    const q::SessionOptions options{.context = 4096, .chunk = 512, .threads = o.threads, .largest_picture = {}};
    Best vision;
    if constexpr (q::VisionLanguageDims<D>) {
        const int side = o.picture / D::vision.patch / D::vision.merge * D::vision.merge;
        q::Session<M> session(pool, options);
        const q::Grid grid{1, side, side};
        const q::Patches patches{
            grid, q::testing::Rng(1).floats(static_cast<std::size_t>(grid.patches() * D::vision.patch_values()))};
        vision.time([&] { beginning.visuals.push_back(q::encode(session.workspace(), patches)); });
        beginning.tokens.insert(beginning.tokens.end(), static_cast<std::size_t>(beginning.visuals[0]->tokens()),
                                D::tokens.image);
    }
    const auto asked = [&](int round) {
        auto prompt = beginning;
        const auto question = words(o.question, 100 + static_cast<std::uint64_t>(round));
        prompt.tokens.insert(prompt.tokens.end(), question.begin(), question.end());
        return prompt;
    };

    Best alone, shared, rest, forked;
    std::int64_t reused = 0, tokens = 0;
    for (int round = 0; round < o.rounds; ++round) {
        const auto prompt = asked(round);
        tokens = static_cast<std::int64_t>(prompt.tokens.size());
        std::vector<float> logits;
        {
            q::PagePool<M> empty(model, {.tokens = 8192});
            q::Session<M> session(empty, options);
            alone.time([&] { session.append(prompt); });
            logits.assign(session.logits().begin(), session.logits().end());
        }
        q::Session<M> first(pool, options), second(pool, options);
        if (round == 0) first.append(asked(-1));
        shared.time([&] { second.append(prompt); });
        reused = second.reused_tokens();
        if (!std::equal(logits.begin(), logits.end(), second.logits().begin()))
            throw q::Error("the logits of a shared prefix differ from those of a computed one");
        const auto ends_in_text = std::max<std::int64_t>(reused, static_cast<std::int64_t>(beginning.tokens.size()));
        second.rewind(ends_in_text);
        rest.time([&] { second.append({{prompt.tokens.begin() + ends_in_text, prompt.tokens.end()}, {}}); });
        forked.time([&] { auto other = second.fork(); });
    }
    Best hash;
    for (int i = 0; i < 5 && !beginning.visuals.empty(); ++i)
        hash.time([&] { bench::sink = static_cast<float>(q::content_hash(*beginning.visuals[0])[0]); });
    const double hashed = beginning.visuals.empty() ? 0 : static_cast<double>(beginning.visuals[0]->bytes());

    const double share = rest.seconds / shared.seconds;
    std::printf("%s, %s %s, %d threads: %lld tokens\n", bench::machine().c_str(), D::name, Format::name, o.threads,
                static_cast<long long>(tokens));
    std::printf("alone     %8.1f ms to the first token, the picture's %.1f ms of the tower not counted\n",
                alone.seconds * 1e3, vision.seconds * 1e3);
    std::printf("shared    %8.1f ms, %lld tokens found: %.1f x faster, the same logits\n", shared.seconds * 1e3,
                static_cast<long long>(reused), alone.seconds / shared.seconds);
    std::printf("rest      %8.1f ms for the question alone: %.0f %% of the time with a shared prefix\n",
                rest.seconds * 1e3, 100 * share);
    if (hashed > 0)
        std::printf("hash      %8.1f ms of it for the picture's features, %.1f GB/s\n", hash.seconds * 1e3,
                    hashed / hash.seconds / 1e9);
    std::printf("fork      %8.1f ms, the session's workspace included\n", forked.seconds * 1e3);
    bench::write_json(o.json_file, {{"machine", bench::machine()},
                                    {"dims", D::name},
                                    {"format", Format::name},
                                    {"threads", o.threads},
                                    {"tokens", tokens},
                                    {"reused_tokens", reused},
                                    {"alone_s", alone.seconds},
                                    {"shared_s", shared.seconds},
                                    {"rest_s", rest.seconds},
                                    {"share", share},
                                    {"fork_s", forked.seconds}});
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    CLI::App app{
        "The first token of prompts that begin alike, with and without a pool of pages that holds the beginning."};
    app.add_option("--dims", o.dims, "the model's extents")->capture_default_str();
    app.add_option("--format", o.format, "of the weights")
        ->check(CLI::IsMember({"bf16", "int8"}))
        ->capture_default_str();
    app.add_option("--rules", o.rules, "tokens of text that all prompts begin with")
        ->check(CLI::Range(1, 2000))
        ->capture_default_str();
    app.add_option("--picture", o.picture, "side of the picture behind it, in pixels")
        ->check(CLI::Range(32, 1024))
        ->capture_default_str();
    app.add_option("--question", o.question, "tokens of text behind that, other ones in each prompt")
        ->check(CLI::Range(1, 500))
        ->capture_default_str();
    app.add_option("--threads", o.threads, "0: the physical cores")->check(CLI::Range(0, 1024))->capture_default_str();
    app.add_option("--rounds", o.rounds, "the best counts")->check(CLI::Range(1, 1000))->capture_default_str();
    app.add_option("--json", o.json_file, "writes the result to this file");
    CLI11_PARSE(app, argc, argv);
    try {
        q::arch::require_supported<bench::Arch>();
        if (o.threads == 0) o.threads = q::execution::physical_cores();
        bench::with_dims(o.dims, [&]<class D>(q::type_tag<D>) {
            o.format == "bf16" ? run_model<D, q::weights::Bf16>(o) : run_model<D, q::weights::Int8<>>(o);
        });
    } catch (const std::exception& e) {
        std::fprintf(stderr, "bench_prefix: %s\n", e.what());
        return 1;
    }
    return 0;
}
