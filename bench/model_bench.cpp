// model_bench: how fast whole models of synthetic weights are, each figure beside the limit that this machine had in
// the same minutes.
#include "model_bench.hpp"
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>
#include "json_file.hpp"

namespace {
namespace q = qwen3vl;
using json = nlohmann::ordered_json;

struct Options {
    std::string dims = "Qwen3VL_2B", json_file;
    std::vector<std::string> bundles = {"bf16"}, works = {"decode", "prefill512"};
    int threads = 0;
    double seconds = 10;
};

/// The peak of resident memory since reset_peak_memory(), in bytes.
std::int64_t peak_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
    return 0;
}
void reset_peak_memory() { std::ofstream("/proc/self/clear_refs") << "5"; }

/// A row of the table, with the best of the runs so far.
struct Row {
    bench::Figure best;
    double least = 1e30;         ///< seconds that the machine would have needed at least, at its best
    double vector_least = 1e30;  ///< the same without AMX tiles

    double share() const { return best.parts.empty() ? 0.0 : least / best.seconds; }
    double vector_share() const { return best.parts.empty() ? 0.0 : vector_least / best.seconds; }
    const char* unit() const { return best.tokens > 0 ? "tokens/s" : "s"; }
    double in_unit(double seconds) const { return best.tokens > 0 ? best.tokens / seconds : seconds; }
};

void measure_limits(bench::Limits& limits, const bench::Figure& figure) {
    std::set<const char*> chains;
    std::set<const bench::Pieces*> memory;
    for (const auto& p : figure.parts) {
        if (p.operations > 0)
            for (const char* chain : bench::chains_for_format(p.format)) chains.insert(chain);
        if (p.bytes > 0) memory.insert(p.pieces);
    }
    for (const char* chain : chains) limits.again(chain);
    for (const auto* pieces : memory) limits.again(*pieces);
}

/// Runs the work and the limits in turns until the time is over, twice at least unless once took a minute.
std::vector<Row> measure(bench::LoadedModel& model, const std::string& work, bench::Limits& limits, double seconds) {
    std::vector<Row> rows;
    model.prepare(work);
    const auto start = bench::Clock::now();
    for (int runs = 0; runs == 0 || bench::seconds_since(start) < (runs < 2 ? std::max(seconds, 60.0) : seconds);
         ++runs) {
        const auto figures = model.run();
        for (std::size_t i = 0; i < figures.size(); ++i) {
            for (int n = runs == 0 ? 4 : 2; n > 0; --n) measure_limits(limits, figures[i]);
            if (rows.size() <= i) rows.push_back({figures[i]});
            // work may grow from run to run (decoding), so the best is the one that comes nearest to its own limit
            double least = 0;
            for (const auto& p : figures[i].parts) least += bench::least_seconds(limits, p);
            Row& row = rows[i];
            const bool better = figures[i].parts.empty() ? figures[i].seconds < row.best.seconds
                                                         : figures[i].seconds / least < row.best.seconds / row.least;
            if (runs == 0 || better) row = {figures[i], least};
        }
    }
    for (auto& row : rows) {  // the limits may have risen since
        row.least = row.vector_least = 0;
        for (const auto& p : row.best.parts) {
            row.least += bench::least_seconds(limits, p);
            row.vector_least += bench::least_seconds(limits, p, false);
        }
    }
    model.finish();
    return rows;
}

/// `read`: bytes a second at which the weights of some model could be read at most.
json limits_json(bench::Limits& limits, double read) {
    json out = json::object();
    if (read > 0) out["read_GB/s"] = read / 1e9;
    for (const auto& c : bench::chains()) out[std::string(c.name) + "_" + c.unit] = limits.peak(c.name) / 1e9;
    return out;
}

std::vector<const bench::Entry*> chosen(const Options& o) {
    std::vector<const bench::Entry*> out;
    std::string known;
    for (const auto& e : bench::entries()) known += std::string(known.empty() ? "" : ", ") + e.dims + "/" + e.bundle;
    for (const auto& bundle : o.bundles) {
        const auto all = bench::entries();
        const auto e = std::find_if(all.begin(), all.end(), [&](const auto& entry) {
            return entry.dims == o.dims && (bundle == "all" || entry.bundle == bundle);
        });
        if (e == all.end())
            throw q::ConfigError("no model " + o.dims + "/" + bundle + " is compiled; compiled are " + known);
        for (const auto& entry : all)
            if (entry.dims == o.dims && (bundle == "all" || entry.bundle == bundle)) out.push_back(&entry);
    }
    return out;
}

void run(const Options& o) {
    q::arch::require_supported<bench::Arch>();
    const auto models = chosen(o);
    bench::Limits limits(o.threads);
    double read = 0;
    json rows = json::array(), capacity = json::array();
    std::printf("%s, %d threads\n%-16s %-10s %12s %12s %-9s %7s %7s %12s\n", bench::machine().c_str(), limits.threads(),
                "work", "bundle", "value", "limit", "unit", "share", "no AMX", "peak MiB");
    for (const auto* entry : models) {
        const auto model = entry->load(limits.threads());
        capacity.push_back({{"bundle", entry->bundle},
                            {"layers", entry->layers},
                            {"heads", entry->heads},
                            {"parameters", entry->parameters},
                            {"preserved", entry->preserved}});
        for (const auto& work : o.works) {
            reset_peak_memory();
            const auto measured = measure(*model, work, limits, o.seconds);
            const std::int64_t memory = peak_memory();
            for (const auto& row : measured) {
                for (const auto& p : row.best.parts)
                    if (p.bytes > 0) read = std::max(read, limits.read(*p.pieces));
                const bool limited = !row.best.parts.empty();
                const double value = row.in_unit(row.best.seconds), limit = limited ? row.in_unit(row.least) : 0.0;
                std::printf("%-16s %-10s %12.4g ", row.best.name.c_str(), entry->bundle, value);
                if (limited)
                    std::printf("%12.4g %-9s %6.1f%% %6.1f%%", limit, row.unit(), 100 * row.share(),
                                100 * row.vector_share());
                else
                    std::printf("%12s %-9s %7s %7s", "-", row.unit(), "-", "-");
                std::printf(" %12lld\n", static_cast<long long>(memory >> 20));
                std::fflush(stdout);
                json j = {{"work", row.best.name},       {"bundle", entry->bundle}, {"arch", bench::Arch::name},
                          {"threads", limits.threads()}, {"value", value},          {"unit", row.unit()}};
                j["limit"] = limited ? json(limit) : json(nullptr);
                j["share"] = limited ? json(row.share()) : json(nullptr);
                j["vector_share"] =
                    limited ? json(row.vector_share()) : json(nullptr);  // of the limit without AMX tiles
                j["peak_memory_bytes"] = memory;
                rows.push_back(std::move(j));
            }
        }
    }
    const json result = {{"machine", bench::machine()},
                         {"dims", o.dims},
                         {"limits", limits_json(limits, read)},
                         {"capacity", capacity},
                         {"rows", rows}};
    for (const auto& [name, value] : result["limits"].items())
        std::printf("limit %-24s %10.1f\n", name.c_str(), value.get<double>());
    bench::write_json(o.json_file, result);
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    CLI::App app{"Speed of whole models with synthetic weights, beside the machine's limits."};
    const std::vector<std::string> works(std::begin(bench::works), std::end(bench::works));
    app.add_option("--dims", o.dims, "the model's extents")->capture_default_str();
    app.add_option("--bundle", o.bundles, "bundles of policies, or all")->delimiter(',')->capture_default_str();
    app.add_option("--work", o.works, "what is timed")
        ->delimiter(',')
        ->check(CLI::IsMember(works))
        ->capture_default_str();
    app.add_option("--threads", o.threads, "0: the physical cores")->check(CLI::Range(0, 1024))->capture_default_str();
    app.add_option("--seconds", o.seconds, "how long each work is repeated")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--json", o.json_file, "writes the result to this file");
    CLI11_PARSE(app, argc, argv);
    try {
        run(o);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "model_bench: %s\n", e.what());
        return 1;
    }
    return 0;
}
