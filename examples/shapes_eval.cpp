// Asks the Shapes model every question of an evaluation folder and prints, bundle by bundle, how many answers are right and how many are
// the reference's own text.
//     shapes_eval --model MODEL FOLDER [--mmproj FILE] [--bundle NAME]... [--calibration FILE] [--min-agreement X]
// MODEL is a checkpoint folder or a .gguf file.
// FOLDER holds cases.json and images/ in the layout of make_eval.py (beside the shipped model). Exit code: 0, 1 an agreement below the
// minimum, 2 a file cannot be used. A new policy proves its quality here: add its bundle to bundles::all.
#include <qwen3vl/model/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "compiled_bundles.hpp"
#include "shapes_cases.hpp"

namespace q = qwen3vl;
using shapes::Case;

namespace {

struct Options {
    std::string model, mmproj, folder, calibration;
    std::vector<std::string> bundles;
    double min_agreement = 0;
    int threads = 0, limit = 0;
};

std::string trimmed(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t\r\n");
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

/// scenes.py `correct`: text must match; a box must have its label and overlap the true one by more than half (intersection over union).
bool correct(const Case& c, const std::string& answer) {
    if (c.kind != "box") return trimmed(answer) == c.answer;
    try {
        const auto ours = nlohmann::json::parse(answer), truth = nlohmann::json::parse(c.answer);
        const auto a = ours.at("bbox_2d").get<std::array<double, 4>>(), t = truth.at("bbox_2d").get<std::array<double, 4>>();
        const double inter = std::max(0.0, std::min(a[2], t[2]) - std::max(a[0], t[0])) * std::max(0.0, std::min(a[3], t[3]) - std::max(a[1], t[1]));
        const double all = (a[2] - a[0]) * (a[3] - a[1]) + (t[2] - t[0]) * (t[3] - t[1]) - inter;
        return ours.at("label") == truth.at("label") && all > 0 && inter / all > 0.5;
    } catch (const nlohmann::json::exception&) {
        return false;
    }
}

struct Score {
    int right = 0, agree = 0, cases = 0;
    void add(bool is_right, bool agrees) {
        right += is_right;
        agree += agrees;
        ++cases;
    }
    double accuracy() const { return 100.0 * right / cases; }
    double agreement() const { return 100.0 * agree / cases; }
};

/// One bundle's row; returns its agreement in percent.
template <class Bundle>
double evaluate(const Options& o, const std::vector<Case>& cases) {
    const auto model = q::Model<q::models::Shapes, Bundle>::load(o.model, {.calibration = o.calibration, .mmproj = o.mmproj});
    q::ChatOptions options;
    options.max_new_tokens = 96;
    options.context = 2048;
    options.temperature = 0;
    options.threads = o.threads;
    q::Chat chat(model, options);
    std::map<std::string, Score> kinds;
    Score all;
    int shown = 0;
    for (const auto& c : cases) {
        chat.clear();
        const std::string answer = chat.ask(shapes::content_of(c, o.folder)).text;
        const bool agrees = answer == c.reference;
        kinds[c.kind].add(correct(c, answer), agrees);
        all.add(correct(c, answer), agrees);
        if (!agrees && shown++ < 5)
            std::printf("  differs: %s | %s | reference: %s | ours: %s\n", c.kind.c_str(), c.question.c_str(), c.reference.c_str(), answer.c_str());
    }
    std::printf("%-10s", Bundle::name);
    for (const auto& [kind, score] : kinds) std::printf("  %s %.1f", kind.c_str(), score.accuracy());
    std::printf("\n%s: accuracy %.2f agreement %.2f cases %d\n", Bundle::name, all.accuracy(), all.agreement(), all.cases);
    std::fflush(stdout);
    return all.agreement();
}

std::string bundle_names() {
    std::string names;
    q::for_each_type<CompiledBundles>([&](auto tag) { names += std::string(names.empty() ? "" : ", ") + decltype(tag)::type::name; });
    return names;
}

int run(const Options& o) {
    auto cases = shapes::read_cases(o.folder);
    if (o.limit > 0 && static_cast<std::size_t>(o.limit) < cases.size()) cases.resize(static_cast<std::size_t>(o.limit));
    bool enough = true;
    std::size_t found = 0;
    q::for_each_type<CompiledBundles>([&](auto tag) {
        using Bundle = typename decltype(tag)::type;
        if (std::find(o.bundles.begin(), o.bundles.end(), Bundle::name) == o.bundles.end()) return;
        ++found;
        enough = evaluate<Bundle>(o, cases) >= o.min_agreement && enough;
    });
    if (found != o.bundles.size()) throw q::ConfigError("--bundle: expected names among " + bundle_names());
    return enough ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Accuracy of the Shapes model, and agreement with the reference's answers, by bundle."};
    Options o;
    o.bundles = {"float32"};
    app.add_option("FOLDER", o.folder, "cases.json and images/, as make_eval.py writes them")->required();
    app.add_option("--model", o.model, "checkpoint folder or .gguf file of the Shapes model")->required();
    app.add_option("--mmproj", o.mmproj, "the vision part of a .gguf model; by default the file mmproj*.gguf beside it");
    app.add_option("--bundle", o.bundles, "of " + bundle_names() + "; may be given several times")->take_all()->capture_default_str();
    app.add_option("--calibration", o.calibration, "a file made by calibrate, for the integer formats");
    app.add_option("--min-agreement", o.min_agreement, "exit with 1 where a bundle's agreement is below this, in percent");
    app.add_option("--threads", o.threads, "0: one for each physical core");
    app.add_option("--limit", o.limit, "only the first so many cases; 0: all");
    CLI11_PARSE(app, argc, argv);
    try {
        return run(o);
    } catch (const q::Error& e) {
        std::fprintf(stderr, "shapes_eval: %s\n", e.what());
        return 2;
    }
}
