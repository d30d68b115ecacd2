// What a bundle's weights and cache cost in quality: how far its predictions are from those in float32, over the same
// tokens.
//     format_quality --model MODEL (FOLDER | --text FILE) [--needles N] [--bundle NAME]... [--calibration FILE]
//     [--parameters FILE] [--json FILE] [--max-kl X]
//     [--min-top1 X]
// FOLDER holds questions (cases.json and images/) in the layout of make_eval.py, beside the shipped model: the tokens
// of the reference answers are predicted. A text is read in windows; with --needles, numbers are hidden in its first
// window and asked for. For each bundle: the mean Kullback-Leibler divergence KL(float32 || bundle) in nats a token,
// the share of tokens whose likeliest is the same, and the share that it predicts right, the perplexity, and the bytes
// of the weights. Exit code: 0, 1 a bundle is outside of the bounds, 2 a file cannot be used.
#include <qwen3vl/core/output_file.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "bundle_options.hpp"
#include "exit_code.hpp"
#include "policy_fields.hpp"
#include "predictions.hpp"

namespace q = qwen3vl;

namespace {

struct Options : predictions::Source {
    BundleOptions bundles;
    std::string json;
    double max_kl = std::numeric_limits<double>::infinity(), min_top1 = 0;
};

/// Natural logarithms of the probabilities.
std::vector<float> log_probabilities(std::span<const float> logits) {
    const double top = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float l : logits) sum += std::exp(static_cast<double>(l) - top);
    std::vector<float> out;
    for (const float l : logits) out.push_back(static_cast<float>(static_cast<double>(l) - top - std::log(sum)));
    return out;
}

std::size_t likeliest(std::span<const float> values) {
    return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

struct Quality {
    nlohmann::ordered_json policies = {};
    std::int64_t tokens = 0, bytes = 0;
    double kl = 0, top1 = 0, right = 0, surprise = 0;  ///< sums, then means

    void add(std::span<const float> reference, std::span<const float> found, int next) {
        for (std::size_t i = 0; i < reference.size(); ++i)
            kl += std::exp(static_cast<double>(reference[i])) *
                  (static_cast<double>(reference[i]) - static_cast<double>(found[i]));
        top1 += likeliest(reference) == likeliest(found);
        right += likeliest(found) == static_cast<std::size_t>(next);
        surprise -= static_cast<double>(found[static_cast<std::size_t>(next)]);
        ++tokens;
    }
    double perplexity() const { return std::exp(surprise); }
};

/// In float32, and with each bundle.
struct Measured {
    double reference_surprise = 0;  ///< a sum, then a mean
    std::vector<Quality> rows;
};

template <class D, class Bundle, class Take>
std::int64_t predict(const Options& o, const std::string& calibration, const Take& take) {
    using M = q::Model<D, Bundle>;
    const auto model =
        M::load(o.model, {.threads = o.threads,
                          .calibration = calibration,
                          .parameters = policy_fields::parameters_for<M>(o.bundles.parameters, Bundle::name),
                          .mmproj = o.mmproj});
    o.predict(model, take);
    std::int64_t bytes = 0;
    for (const auto& part : M::memory_plan().parts)
        if (part.name.rfind("weights: ", 0) == 0) bytes += part.bytes;
    return bytes;
}

template <class D>
Measured measure(const Options& o) {
    Measured measured;
    auto& rows = measured.rows;
    std::vector<std::vector<float>> reference;
    predict<D, q::bundles::float32>(o, "", [&](std::span<const float> logits, int next) {
        reference.push_back(log_probabilities(logits));
        measured.reference_surprise -= static_cast<double>(reference.back()[static_cast<std::size_t>(next)]);
    });
    measured.reference_surprise /= static_cast<double>(reference.size());
    o.bundles.for_each([&](auto tag) {
        using Bundle = typename decltype(tag)::type;
        Quality row;
        row.policies = policy_fields::of<Bundle>();
        row.bytes = predict<D, Bundle>(o, o.bundles.calibration, [&](std::span<const float> logits, int next) {
            row.add(reference.at(static_cast<std::size_t>(row.tokens)), log_probabilities(logits), next);
        });
        row.kl /= static_cast<double>(row.tokens);
        row.top1 *= 100.0 / static_cast<double>(row.tokens);
        row.right *= 100.0 / static_cast<double>(row.tokens);
        row.surprise /= static_cast<double>(row.tokens);
        std::printf(
            "%-10s KL %.3e nats a token  top-1 %6.2f %%  right %6.2f %%  perplexity %.4f  weights %.2f MB  tokens "
            "%lld\n",
            Bundle::name, row.kl, row.top1, row.right, row.perplexity(), static_cast<double>(row.bytes) * 1e-6,
            static_cast<long long>(row.tokens));
        std::fflush(stdout);
        rows.push_back(row);
    });
    return measured;
}

int run(const Options& o) {
    Measured measured;
    o.with_dims<CompiledDims>([&](auto dims) { measured = measure<typename decltype(dims)::type>(o); });
    nlohmann::ordered_json json = {{"model", o.model},
                                   {"text", o.text},
                                   {"window", o.window},
                                   {"calibration", o.bundles.calibration},
                                   {"reference_perplexity", std::exp(measured.reference_surprise)},
                                   {"rows", nlohmann::ordered_json::array()}};
    bool good = true;
    for (const auto& row : measured.rows) {
        auto& fields = json["rows"].emplace_back(row.policies);
        fields.update({{"kl_nats_per_token", row.kl},
                       {"top1_percent", row.top1},
                       {"right_percent", row.right},
                       {"perplexity", row.perplexity()},
                       {"weight_bytes", row.bytes},
                       {"tokens", row.tokens}});
        good = good && row.kl <= o.max_kl && row.top1 >= o.min_top1;
    }
    if (!o.json.empty()) q::write_text_file(o.json, json.dump(2) + "\n");
    return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"How far the predictions of a model are from those in float32, by bundle."};
    Options o;
    o.add_to(app);
    o.bundles.add_to(app);
    app.add_option("--json", o.json, "write the table to this file");
    app.add_option("--max-kl", o.max_kl, "exit with 1 where a bundle's divergence is above this");
    app.add_option("--min-top1", o.min_top1, "exit with 1 where a bundle's agreement is below this, in percent");
    CLI11_PARSE(app, argc, argv);
    return exit_code("format_quality", [&] { return run(o); });
}
