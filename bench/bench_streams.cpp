// bench_streams: tokens a second of 1 to 32 answers that go on together, one pass a step, as an engine computes them.
// The limit is the weights and the streams' keys and values, read once a step.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
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
    std::vector<std::string> formats = {"bf16", "int8", "int4"};
    int most = 32, prompt = 64, steps = 8, threads = 0;
};

template <class D, class Format>
void run_model(const Options& o, json& rows) {
    using Text = q::TextPolicies<>::with_weights<Format>::template with_kv_cache<q::kv_cache::Paged<>>;
    using M = q::Model<D, typename q::PoliciesWithWeights<Format>::template with_text<Text>>;
    const auto source = q::testing::SyntheticSource::of<M>(1, o.threads);
    q::LoadOptions load;
    load.threads = o.threads;
    const M model(*source, source, nullptr, load);
    source->release_unmapped();

    const int context = o.prompt + o.steps + 2;
    q::PagePool<M> pool(model, {.tokens = static_cast<std::int64_t>(o.most) * (context + 64)});
    q::Workspace<M> workspace(
        model, {.context = context, .rows = std::max(o.prompt, o.most), .threads = o.threads, .logits_rows = o.most});
    std::vector<std::unique_ptr<q::Sequence<M>>> sequences;
    double one = 0;
    for (int streams = 1; streams <= o.most; streams *= 2) {
        while (std::ssize(sequences) < streams) {  // each begins with words of its own: they share no page
            auto& s = *sequences.emplace_back(std::make_unique<q::Sequence<M>>(pool, q::SequenceOptions{context}));
            q::testing::Rng random(static_cast<std::uint64_t>(sequences.size()));
            q::Prompt prompt;
            for (int i = 0; i < o.prompt; ++i) prompt.tokens.push_back(random.below(400));
            s.append(prompt);
            const q::Chunk<M> chunk{&s, s.pending(), 1};
            workspace.forward({&chunk, 1});
        }
        std::vector<q::Chunk<M>> chunks;
        for (auto& s : sequences) chunks.push_back({s.get(), 1, 1});
        double best = 1e9;
        for (int step = 0; step < o.steps; ++step) {
            for (auto& s : sequences) s->append(step + 1);
            const auto start = bench::Clock::now();
            workspace.forward(chunks);
            best = std::min(best, bench::seconds_since(start));
        }
        for (auto& s : sequences) s->rewind(o.prompt);
        const double rate = streams / best;
        if (streams == 1) one = rate;
        std::printf("%-6s %2d streams %8.1f ms a step %8.1f tokens/s %6.2f x one\n", Format::name, streams, best * 1e3,
                    rate, rate / one);
        std::fflush(stdout);
        rows.push_back({{"format", Format::name},
                        {"streams", streams},
                        {"step_s", best},
                        {"tokens_per_s", rate},
                        {"of_one", rate / one}});
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    CLI::App app{"Tokens a second of several answers that go on together."};
    app.add_option("--dims", o.dims, "the model's extents")->capture_default_str();
    app.add_option("--format", o.formats, "of the weights, several with commas")
        ->delimiter(',')
        ->check(CLI::IsMember({"bf16", "int8", "int4"}))
        ->capture_default_str();
    app.add_option("--streams", o.most, "answers at most, from one on by powers of two")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_option("--prompt", o.prompt, "tokens before each answer")
        ->check(CLI::Range(1, 8192))
        ->capture_default_str();
    app.add_option("--steps", o.steps, "the fastest counts")->check(CLI::Range(1, 1000))->capture_default_str();
    app.add_option("--threads", o.threads, "0: the physical cores")->check(CLI::Range(0, 1024))->capture_default_str();
    app.add_option("--json", o.json_file, "writes the result to this file");
    CLI11_PARSE(app, argc, argv);
    try {
        q::arch::require_supported<bench::Arch>();
        if (o.threads == 0) o.threads = q::execution::physical_cores();
        std::printf("%s, %s, %d threads\n", bench::machine().c_str(), o.dims.c_str(), o.threads);
        json rows = json::array();
        bench::with_dims(o.dims, [&]<class D>(q::type_tag<D>) {
            for (const auto& format : o.formats)
                format == "bf16"   ? run_model<D, q::weights::Bf16>(o, rows)
                : format == "int8" ? run_model<D, q::weights::Int8<>>(o, rows)
                                   : run_model<D, q::weights::Int4<>>(o, rows);
        });
        bench::write_json(o.json_file, {{"machine", bench::machine()},
                                        {"dims", o.dims},
                                        {"threads", o.threads},
                                        {"prompt", o.prompt},
                                        {"rows", rows}});
    } catch (const std::exception& e) {
        std::fprintf(stderr, "bench_streams: %s\n", e.what());
        return 1;
    }
    return 0;
}
