// qwen3vl advise: which bundles fit a machine, what they lose, and the line to paste.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "../advice.hpp"
#include "../matching_dims.hpp"
#include "commands.hpp"
#include "plan_options.hpp"
#include "terminal.hpp"

namespace commands::advise {
namespace q = qwen3vl;

struct Options : PlanOptions {
    std::uint64_t memory = 0, context = 8192;
};

constexpr double mib = 1024.0 * 1024.0;

void print_json(const std::vector<advice::Row>& rows) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& row : rows) {
        nlohmann::ordered_json entry{
            {"bundle", row.bundle}, {"total", row.plan.total()}, {"kv_cache", row.kv_bytes}, {"on_disk", row.on_disk}};
        entry["kl_nats_per_token"] = row.quality ? nlohmann::ordered_json(row.quality->kl) : nullptr;
        entry["top1_percent"] = row.quality ? nlohmann::ordered_json(row.quality->top1) : nullptr;
        entry["type"] = row.type;
        list.push_back(std::move(entry));
    }
    std::printf("%s\n", list.dump(2).c_str());
}

void print(const std::vector<advice::Row>& rows, const char* dims, std::uint64_t context) {
    std::printf("%-16s %12s %16s %14s %18s\n", "bundle", "memory MiB", "of which KV MiB", "KL, nats",
                "same likeliest, %");
    for (const auto& row : rows) {
        std::printf("%-16s %12.0f %16.1f", row.bundle.c_str(), static_cast<double>(row.plan.total()) / mib,
                    static_cast<double>(row.kv_bytes) / mib);
        if (row.quality)
            std::printf(" %14.1e %18.2f", row.quality->kl, row.quality->top1);
        else
            std::printf(" %14s %18s", "not measured", "");
        std::printf("%s\n", row.on_disk ? "  waits for the disk" : "");
    }
    const auto& best = rows.front();
    std::printf(
        "\nKL and the share of tokens with the same likeliest one: beside float32, SmolLM2-135M on a text "
        "(bench/results/quality.json).\n\n");
    std::printf(
        "    namespace q = qwen3vl;\n    using Bundle = %s;  // %s\n    using Model = q::Model<q::models::%s, "
        "Bundle>;\n",
        best.type.c_str(), best.bundle.c_str(), dims);
    std::printf("    q::SessionOptions{.context = %llu}\n", static_cast<unsigned long long>(context));
    if (best.on_disk)
        std::printf(
            "LoadOptions::packed or SessionOptions::offload_folder names the folder on the disk; the error at the "
            "start says which.\n");
    std::printf("\n--json tells the types of the others.\n");
}

template <class D>
int advise(const Options& o) {
    q::SessionOptions session = o.session(static_cast<int>(o.context));
    if constexpr (q::VisionLanguageDims<D>) session = o.session(session.context, D::vision.patch);
    const auto all = advice::candidates_for<D>(session);
    const auto rows = advice::fitting(all, static_cast<std::int64_t>(o.memory));
    if (rows.empty()) {
        const auto least = std::min_element(
            all.begin(), all.end(), [](const auto& a, const auto& b) { return a.plan.total() < b.plan.total(); });
        std::fprintf(stderr,
                     "qwen3vl: nothing fits %.0f MiB: the smallest, %s, takes %.0f MiB; shorten --context, lower "
                     "--picture or give more --memory\n",
                     static_cast<double>(o.memory) / mib, least->bundle.c_str(),
                     static_cast<double>(least->plan.total()) / mib);
        return 1;
    }
    if (o.json)
        print_json(rows);
    else
        print(rows, D::name, o.context);
    return 0;
}

int run(const Options& o) {
    int code = 0;
    with_matching_dims<q::list<QWEN3VL_COMPILED_DIMS>>(
        o.path, [&](auto dims) { code = advise<typename decltype(dims)::type>(o); });
    return code;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* sub = app.add_subcommand(
        "advise", "Tells which bundles of policies fit a memory, what they lose, and the type to paste");
    options->add_model(*sub);
    sub->add_option("--memory", options->memory, "bytes that weights and session may take, as 2G")
        ->required()
        ->transform(CLI::AsSizeValue(false));
    sub->add_option("--context", options->context, "tokens of prompt and answers together, as 16k")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 24))
        ->capture_default_str();
    options->add_to(*sub);
    sub->callback([options, &exit_code] { exit_code = guarded("advise", [&] { return run(*options); }); });
}

}  // namespace commands::advise
