// Asks the Shapes model every question of an evaluation folder and prints, bundle by bundle, how many answers are right
// and how many are the reference's own text.
//     shapes_eval --model MODEL FOLDER [--mmproj FILE] [--bundle NAME]... [--calibration FILE] [--parameters PATH]
//     [--min-agreement X] [--min-prompt N] [--json FILE]
// MODEL is a checkpoint folder or a .gguf file.
// FOLDER holds cases.json and images/ in the layout of make_eval.py (beside the shipped model). Exit code: 0, 1 an
// agreement below the minimum, 2 a file cannot be used. `catalogue_eval` is the same over the bundles of
// catalogue_bundles.hpp, which differ from float32 in one policy each: a new policy proves its quality there.
// `fusion_eval` is the same over those of fusion_bundles.hpp.
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <optional>

#include "bundle_options.hpp"
#include "exit_code.hpp"
#include "policy_fields.hpp"
#include "shapes_cases.hpp"

namespace q = qwen3vl;
using json = nlohmann::ordered_json;
using shapes::Case;

namespace {

struct Options {
    std::string model, mmproj, folder, json_file;
    BundleOptions bundles;
    double min_agreement = 0;
    int threads = 0, limit = 0, min_prompt = 0;
};

std::string trimmed(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t\r\n");
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

/// scenes.py `correct`: text must match; a box must have its label and overlap the true one by more than half
/// (intersection over union).
bool correct(const Case& c, const std::string& answer) {
    if (c.kind != "box") return trimmed(answer) == c.answer;
    try {
        const auto ours = nlohmann::json::parse(answer), truth = nlohmann::json::parse(c.answer);
        const auto a = ours.at("bbox_2d").get<std::array<double, 4>>(),
                   t = truth.at("bbox_2d").get<std::array<double, 4>>();
        const double inter = std::max(0.0, std::min(a[2], t[2]) - std::max(a[0], t[0])) *
                             std::max(0.0, std::min(a[3], t[3]) - std::max(a[1], t[1]));
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

/// Answers to all questions: their tokens and seconds, and the prompts' tokens.
struct Work {
    std::int64_t tokens = 0;
    double seconds = 0;
    std::vector<std::int64_t> prompts;
    void add(const q::Reply& reply) {
        tokens += static_cast<std::int64_t>(reply.tokens.size());
        seconds += reply.seconds;
        prompts.push_back(reply.prompt_tokens);
    }
    std::int64_t median_prompt() const {
        auto sorted = prompts;
        std::sort(sorted.begin(), sorted.end());
        return sorted[sorted.size() / 2];
    }
};

/// The share of a prompt's keys that its last token sees, of several layers the least; nothing where masks choose by
/// the keys themselves or by what tokens are.
template <class Attention>
std::optional<double> keys_seen(std::int64_t prompt) {
    std::optional<double> least;
    q::for_each_type<typename q::plan<Attention>::types>([&](auto tag) {
        using Mask = typename decltype(tag)::type::mask;
        const auto count = [](std::int64_t& n) {
            return [&n](q::mask::KeyRange range) { n += range.end - range.begin; };
        };
        std::int64_t n = 0;
        if constexpr (requires { Mask::for_each_range(0, 0, q::mask::KeyRange{}, count(n)); }) {
            Mask::for_each_range(prompt - 1, prompt - 1, {0, prompt}, count(n));
            least = std::min(least.value_or(1.0), static_cast<double>(n) / static_cast<double>(prompt));
        }
    });
    return least;
}

/// What a session keeps of one token in all layers.
template <class M>
double kv_bytes_per_token(int context) {
    double bytes = 0;
    for (const auto& part : M::memory_plan({.context = context}).parts)
        if (part.name == "kv_cache" || part.name == "mask") bytes += static_cast<double>(part.bytes);
    return bytes / context;
}

/// One bundle's row.
template <class Bundle>
json evaluate(const Options& o, const std::vector<Case>& cases) {
    using M = q::Model<q::models::Shapes, Bundle>;
    const auto model =
        M::load(o.model, {.calibration = o.bundles.calibration,
                          .parameters = policy_fields::parameters_for<M>(o.bundles.parameters, Bundle::name),
                          .mmproj = o.mmproj});
    q::ChatOptions options;
    options.max_new_tokens = 96;
    options.session.context = 2048;
    options.temperature = 0;
    options.session.threads = o.threads;
    q::Chat chat(model, options);
    std::map<std::string, Score> kinds;
    Score all;
    Work work;
    int shown = 0;
    for (const auto& c : cases) {
        chat.clear();
        const auto content = shapes::content_of(c, o.folder);
        if (o.min_prompt > 0 && chat.token_count(content) < o.min_prompt) continue;
        const q::Reply reply = chat.ask(content);
        const std::string& answer = reply.text;
        const bool agrees = answer == c.reference;
        work.add(reply);
        kinds[c.kind].add(correct(c, answer), agrees);
        all.add(correct(c, answer), agrees);
        if (!agrees && shown++ < 5)
            std::printf("  differs: %s | %s | reference: %s | ours: %s\n", c.kind.c_str(), c.question.c_str(),
                        c.reference.c_str(), answer.c_str());
    }
    if (all.cases == 0) throw q::ConfigError("--min-prompt " + std::to_string(o.min_prompt) + " leaves no question");
    std::printf("%-10s", Bundle::name);
    for (const auto& [kind, score] : kinds) std::printf("  %s %.1f", kind.c_str(), score.accuracy());
    const double bytes = kv_bytes_per_token<M>(options.session.context),
                 rate = static_cast<double>(work.tokens) / work.seconds;
    std::printf(
        "\n%s: accuracy %.2f agreement %.2f cases %d, %.0f KV bytes/token, %.0f tokens/s, median prompt %lld tokens\n",
        Bundle::name, all.accuracy(), all.agreement(), all.cases, bytes, rate,
        static_cast<long long>(work.median_prompt()));
    std::fflush(stdout);
    const auto seen = keys_seen<typename Bundle::Text::Attention>(work.median_prompt());
    json row = policy_fields::of<Bundle>();
    row.update({{"accuracy", all.accuracy()},
                {"agreement", all.agreement()},
                {"cases", all.cases},
                {"keys_seen", seen ? json(*seen) : json(nullptr)},
                {"kv_bytes_per_token", bytes},
                {"tokens_per_second", rate},
                {"median_prompt_tokens", work.median_prompt()}});
    return row;
}

int run(const Options& o) {
    auto cases = shapes::read_cases(o.folder);
    if (o.limit > 0 && static_cast<std::size_t>(o.limit) < cases.size())
        cases.resize(static_cast<std::size_t>(o.limit));
    bool enough = true;
    json rows = json::array();
    o.bundles.for_each([&](auto tag) {
        rows.push_back(evaluate<typename decltype(tag)::type>(o, cases));
        enough = rows.back()["agreement"].template get<double>() >= o.min_agreement && enough;
    });
    if (!o.json_file.empty()) {
        std::ofstream file(o.json_file);
        file << json{{"arch", q::arch::native::name}, {"rows", rows}}.dump(2) << '\n';
        if (!file.flush()) throw q::FileError(o.json_file + ": cannot write");
    }
    return enough ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Accuracy of the Shapes model, and agreement with the reference's answers, by bundle."};
    Options o;
    app.add_option("FOLDER", o.folder, "cases.json and images/, as make_eval.py writes them")->required();
    app.add_option("--model", o.model, "checkpoint folder or .gguf file of the Shapes model")->required();
    app.add_option("--mmproj", o.mmproj,
                   "the vision part of a .gguf model; by default the file mmproj*.gguf beside it");
    o.bundles.add_to(app);
    app.add_option("--min-agreement", o.min_agreement,
                   "exit with 1 where a bundle's agreement is below this, in percent");
    app.add_option("--json", o.json_file, "writes the rows to this file, for bench/catalogue");
    app.add_option("--threads", o.threads, "0: one for each physical core");
    app.add_option("--limit", o.limit, "only the first so many cases; 0: all");
    app.add_option(
        "--min-prompt", o.min_prompt,
        "only questions whose prompt has at least so many tokens, for policies that see few of them; 0: all");
    CLI11_PARSE(app, argc, argv);
    return exit_code("shapes_eval", [&] { return run(o); });
}
