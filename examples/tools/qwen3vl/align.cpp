// qwen3vl align: where in a picture a phrase is, by trained projections of the Shapes model.
#include <qwen3vl/alignment/alignment.hpp>
#include <qwen3vl/chat/align.hpp>
#include <qwen3vl/image/heat.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/policies/bundles.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace commands::align {
namespace q = qwen3vl;
using M = q::Model<q::models::Shapes, q::bundles::bf16::with_alignment<q::alignment::Projected<q::Rank{64}>>>;

struct Options {
    std::string image, phrase, out, model = QWEN3VL_SHIPPED_MODEL, parameters;
    int threads = 0;
    bool json = false;
};

int run(const Options& o) {
    catch_interrupt();
    const auto picture = q::Image::open(o.image);
    ProgressBar bar;
    const std::string file = o.parameters.empty() ? o.model + "/alignment/projected.safetensors" : o.parameters;
    const auto model = M::load(o.model, {.progress = bar.callback(), .threads = o.threads, .parameters = {file}});
    q::Session<M> session(model, {.context = 256, .threads = o.threads});
    const q::PhraseMap map = q::align(session, picture, o.phrase, bar.callback());
    const auto [low, high] = std::minmax_element(map.scores.begin(), map.scores.end());
    const auto [row, column] = map.highest();
    const auto pixels = [](int at, int of, int side) { return at * side / of; };
    const int x1 = pixels(column, map.columns, picture.width()), y1 = pixels(row, map.rows, picture.height()),
              x2 = pixels(column + 1, map.columns, picture.width()), y2 = pixels(row + 1, map.rows, picture.height());
    if (!o.out.empty()) q::image::with_heat(picture, map.rows, map.columns, map.scores, *low, *high).write_png(o.out);
    if (o.json) {
        const nlohmann::ordered_json out{{"phrase", o.phrase},   {"score", map.score},
                                         {"rows", map.rows},     {"columns", map.columns},
                                         {"scores", map.scores}, {"highest_pixels", {x1, y1, x2, y2}}};
        std::printf("%s\n", out.dump(2).c_str());
        return 0;
    }
    std::printf("score %.2f, highest %.2f at pixels %d %d %d %d\n", map.score, *high, x1, y1, x2, y2);
    if (!o.out.empty())
        std::printf("%s: colours from %.2f (blue) to %.2f (red), as the strip below the picture\n", o.out.c_str(), *low,
                    *high);
    return 0;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* sub = app.add_subcommand("align", "Draws where in a picture a phrase is; for the small model alone");
    sub->footer("Example:\n  qwen3vl align examples/pictures/shapes.png \"the blue star\" -o heat.png");
    sub->add_option("IMAGE", options->image, "a JPEG, PNG or WebP file")->required()->check(CLI::ExistingFile);
    sub->add_option("PHRASE", options->phrase, "such as \"the red circle\"")->required();
    sub->add_option("-o,--output", options->out, "PNG file for the picture under the colours of the scores");
    sub->add_option("--model,-m", options->model, "checkpoint folder of the small model")
        ->check(CLI::ExistingDirectory)
        ->capture_default_str();
    sub->add_option("--parameters", options->parameters,
                    "the projections; by default alignment/projected.safetensors in the checkpoint's folder")
        ->check(CLI::ExistingFile);
    sub->add_option("--threads", options->threads, "0: one for each physical core")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    sub->add_flag("--json", options->json, "one JSON object with every score");
    sub->callback([options, &exit_code] { exit_code = guarded("align", [&] { return run(*options); }); });
}

}  // namespace commands::align
