// qwen3vl inspect: what a checkpoint folder or GGUF file holds, part by part, and which of the compiled models it is.
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/testing/models.hpp>
#include <set>
#include <tuple>
#include "commands.hpp"
#include "model_options.hpp"

namespace commands::inspect {
namespace q = qwen3vl;
using json = nlohmann::ordered_json;

struct Options {
    std::string path, mmproj;
    bool as_json = false, all = false;
};

constexpr std::array parts = {"embedding", "decoder", "head", "vision tower", "mergers", "other"};

std::size_t part_of(std::string_view name) {
    const auto has = [&](std::string_view word) { return name.find(word) != std::string_view::npos; };
    if (has("embed_tokens.")) return 0;
    if (has("visual.merger.") || has("deepstack_merger_list.")) return 4;
    if (has("visual.")) return 3;
    if (name.starts_with("lm_head.")) return 2;
    return name.starts_with("model.") ? 1 : 5;
}

struct Sum {
    std::size_t tensors = 0;
    std::int64_t parameters = 0;
    std::size_t bytes = 0;
    void add(const q::TensorView& t) {
        ++tensors;
        parameters += t.elements();
        bytes += t.bytes();
    }
};

/// Whether the checkpoint is of one Dims: its config first, then every tensor.
struct Match {
    std::string name, difference;  // the first difference of the config, empty where there is none
    std::vector<std::string> missing, unused;
};

template <q::Dims D>
Match match(const q::checkpoint::Checkpoint& opened) {
    Match m{D::name, "", {}, {}};
    if (!q::checkpoint::matches<D>(opened.config(), &m.difference)) return m;
    std::set<std::string> needed;
    q::for_each_parameter<D>([&](const std::string& name, const q::Shape& shape) {
        needed.insert(name);
        const q::TensorView* t = opened.find(name);
        if (!t)
            m.missing.push_back(name + ": expected " + q::shape_text(shape) + ", found no such tensor");
        else if (t->shape != shape)
            m.missing.push_back(name + ": expected " + q::shape_text(shape) + ", found " + q::shape_text(t->shape));
    });
    for (const auto& [name, t] : opened.tensors()) {
        if (!needed.contains(name)) m.unused.push_back(name);
    }
    return m;
}

std::string readable_bytes(std::size_t n) {
    char text[32];
    if (n < 1000)
        std::snprintf(text, sizeof text, "%zu B", n);
    else if (n < 1000'000)
        std::snprintf(text, sizeof text, "%.1f kB", static_cast<double>(n) / 1e3);
    else if (n < 1000'000'000)
        std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(n) / 1e6);
    else
        std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(n) / 1e9);
    return text;
}

/// A name from a file, safe to print on a terminal.
std::string printable(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return text;
}

/// "model.layers.7.mlp" as "model.layers.*.mlp", so that the layers of a model share a row.
std::string pattern_of(const std::string& name) {
    std::string pattern, component;
    for (std::size_t i = 0; i <= name.size(); ++i) {
        if (i < name.size() && name[i] != '.') {
            component += name[i];
            continue;
        }
        const bool number = !component.empty() && component.find_first_not_of("0123456789") == std::string::npos;
        pattern += number ? "*" : component;
        if (i < name.size()) pattern += '.';
        component.clear();
    }
    return pattern;
}

void print_tensors(const q::checkpoint::Checkpoint& opened, bool all) {
    std::map<std::tuple<std::size_t, std::string, q::DType, std::vector<std::int64_t>>, Sum> rows;
    for (const auto& [name, t] : opened.tensors())
        rows[{part_of(name), all ? name : pattern_of(name), t.dtype, t.shape}].add(t);
    int width = 6;
    for (const auto& [key, sum] : rows)
        width = std::max(width, static_cast<int>(std::min<std::size_t>(std::get<1>(key).size(), 80)));
    std::printf("%-*s  %5s  %-8s %-20s %14s %10s\n", width, "tensor", "count", "dtype", "shape", "parameters", "bytes");
    for (const auto& [key, sum] : rows) {
        const auto& [part, name, dtype, shape] = key;
        std::printf("%-*s  %5zu  %-8s %-20s %14lld %10s\n", width, printable(name).c_str(), sum.tensors,
                    std::string(q::dtype_name(dtype)).c_str(), q::shape_text(shape).c_str(),
                    static_cast<long long>(sum.parameters), readable_bytes(sum.bytes).c_str());
    }
}

void print_list(const char* title, const std::vector<std::string>& lines) {
    constexpr std::size_t most = 10;
    if (lines.empty()) return;
    std::printf("%s (%zu):\n", title, lines.size());
    for (std::size_t i = 0; i < std::min(lines.size(), most); ++i) std::printf("  %s\n", printable(lines[i]).c_str());
    if (lines.size() > most) std::printf("  and %zu more\n", lines.size() - most);
}

void print(const q::checkpoint::Checkpoint& opened, const std::array<Sum, parts.size()>& sums,
           const std::vector<Match>& matches, bool all) {
    print_tensors(opened, all);
    std::printf("\n%-14s %8s %14s %10s\n", "part", "tensors", "parameters", "bytes");
    Sum total;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        total.tensors += sums[i].tensors;
        total.parameters += sums[i].parameters;
        total.bytes += sums[i].bytes;
        if (sums[i].tensors)
            std::printf("%-14s %8zu %14lld %10s\n", parts[i], sums[i].tensors,
                        static_cast<long long>(sums[i].parameters), readable_bytes(sums[i].bytes).c_str());
    }
    std::printf("%-14s %8zu %14lld %10s in %zu file%s\n\n", "total", total.tensors,
                static_cast<long long>(total.parameters), readable_bytes(total.bytes).c_str(), opened.files().size(),
                opened.files().size() == 1 ? "" : "s");
    bool found = false;
    for (const auto& m : matches) {
        if (!m.difference.empty()) continue;
        found = true;
        std::printf("the config is that of %s%s\n", m.name.c_str(),
                    m.missing.empty() ? ", and every tensor it needs is there" : "");
        print_list("missing or misshapen", m.missing);
        print_list("not needed", m.unused);
    }
    if (found) return;
    std::printf("the config is that of no shipped model; the first difference from each:\n");
    for (const auto& m : matches) std::printf("  %-14s %s\n", m.name.c_str(), printable(m.difference).c_str());
}

void print_json(const q::checkpoint::Checkpoint& opened, const std::array<Sum, parts.size()>& sums,
                const std::vector<Match>& matches) {
    json out = {
        {"folder", opened.folder()}, {"tensors", json::array()}, {"parts", json::object()}, {"models", json::array()}};
    for (const auto& [name, t] : opened.tensors()) {
        out["tensors"].push_back({{"name", name},
                                  {"part", parts[part_of(name)]},
                                  {"dtype", q::dtype_name(t.dtype)},
                                  {"shape", t.shape},
                                  {"parameters", t.elements()},
                                  {"bytes", t.bytes()}});
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (sums[i].tensors)
            out["parts"][parts[i]] = {
                {"tensors", sums[i].tensors}, {"parameters", sums[i].parameters}, {"bytes", sums[i].bytes}};
    }
    for (const auto& m : matches) {
        if (m.difference.empty())
            out["models"].push_back(
                {{"name", m.name}, {"matches", true}, {"missing", m.missing}, {"unused", m.unused}});
        else
            out["models"].push_back({{"name", m.name}, {"matches", false}, {"difference", m.difference}});
    }
    std::printf("%s\n", out.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

/// 0, or 1 where the config is a shipped model's and the tensors are not.
int inspect(const Options& options) {
    const auto opened = q::checkpoint::Checkpoint::open(options.path, options.mmproj);
    std::array<Sum, parts.size()> sums;
    for (const auto& [name, t] : opened.tensors()) sums[part_of(name)].add(t);
    std::vector<Match> matches;
    q::for_each_type<q::models::shipped_and_golden>(
        [&](auto tag) { matches.push_back(match<typename decltype(tag)::type>(opened)); });
    if (options.as_json)
        print_json(opened, sums, matches);
    else
        print(opened, sums, matches, options.all);
    return std::any_of(matches.begin(), matches.end(), [](const Match& m) { return !m.missing.empty(); }) ? 1 : 0;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* command =
        app.add_subcommand("inspect", "Show a checkpoint's tensors, its bytes per part, and which shipped model it is");
    command->add_option("model", options->path, "a Hugging Face folder (config.json and safetensors) or a .gguf file")
        ->required();
    ModelOptions::add_mmproj(*command, options->mmproj);
    command->add_flag("--all", options->all, "a row for every tensor, not one for all layers");
    command->add_flag("--json", options->as_json, "print JSON, with every tensor");
    command->footer(
        "Exit code: 0; 1 where the config is a shipped model's but tensors are missing or misshapen; 2 where the "
        "checkpoint cannot be read.\n"
        "Example:\n  qwen3vl inspect Qwen3-VL-2B-Instruct");
    command->callback([options, &exit_code] {
        try {
            exit_code = inspect(*options);
        } catch (const q::Error& error) {
            std::fprintf(stderr, "qwen3vl inspect: %s\n", error.what());
            exit_code = 2;
        }
    });
}

}  // namespace commands::inspect
