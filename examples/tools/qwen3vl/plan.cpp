// qwen3vl plan: what a model will need, before anything is allocated.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "any_chat.hpp"
#include "commands.hpp"
#include "model_options.hpp"
#include "plan_options.hpp"
#include "terminal.hpp"

namespace commands::plan {
namespace q = qwen3vl;

struct Options : PlanOptions {
    std::string mmproj, bundle;
    int context = 8192;
};

int run(const Options& o) {
    const auto& model = model_for(o.path, o.mmproj, o.bundle);
    const auto plan = model.plan(model.sees ? o.session(o.context, 16) : o.session(o.context));
    if (o.json) {
        auto parts = nlohmann::ordered_json::array();
        for (const auto& p : plan.parts) parts.push_back({{"name", p.name}, {"bytes", p.bytes}, {"mapped", p.mapped}});
        std::printf("%s\n", nlohmann::ordered_json{{"model", model.name},
                                                   {"bundle", model.bundle},
                                                   {"parameters", model.parameters},
                                                   {"parts", parts},
                                                   {"total", plan.total()},
                                                   {"anonymous", plan.anonymous()},
                                                   {"disk", plan.disk}}
                                .dump(2)
                                .c_str());
        return 0;
    }
    constexpr double mib = 1024.0 * 1024.0;
    std::printf("%s (%s), %.3f billion parameters, context %d tokens", model.name, model.bundle,
                static_cast<double>(model.parameters) / 1e9, o.context);
    if (model.sees) std::printf(", pictures up to %d x %d", o.picture, o.picture);
    std::printf("\n");
    for (const auto& p : plan.parts)
        std::printf("  %-42s %10.1f MiB%s\n", p.name.c_str(), static_cast<double>(p.bytes) / mib,
                    p.mapped ? "  mapped from the checkpoint" : "");
    std::printf("  %-42s %10.1f MiB\n  %-42s %10.1f MiB\n", "total", static_cast<double>(plan.total()) / mib,
                "of which not mapped", static_cast<double>(plan.anonymous()) / mib);
    if (plan.disk > 0) std::printf("  %-42s %10.1f MiB\n", "on disk", static_cast<double>(plan.disk) / mib);
    return 0;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* sub = app.add_subcommand("plan", "Tells the memory a model will need, part by part");
    options->add_model(*sub);
    ModelOptions::add_mmproj(*sub, options->mmproj);
    ModelOptions::add_bundle(*sub, options->bundle);
    sub->add_option("--context", options->context, "tokens of prompt and answers together")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    options->add_to(*sub);
    sub->callback([options, &exit_code] { exit_code = guarded("plan", [&] { return run(*options); }); });
}

}  // namespace commands::plan
