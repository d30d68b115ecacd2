// limits: what this machine can do at most: arithmetic by sequence of instructions, and reading by footprint, for one
// thread and for all.
#include "limits.hpp"
#include <CLI/CLI.hpp>
#include <cstdio>
#include "json_file.hpp"

namespace {

void run(int threads, int repetitions, std::int64_t largest, const std::string& json_file) {
    qwen3vl::arch::require_supported<bench::Arch>();
    nlohmann::ordered_json result = {{"machine", bench::machine()}, {"limits", nlohmann::ordered_json::object()}};
    std::printf("%s\n%-24s %8s %12s %-8s\n", bench::machine().c_str(), "limit", "threads", "best", "unit");
    const auto print = [&](const std::string& name, int n, double value, const char* unit, const char* note) {
        std::printf("%-24s %8d %12.2f %-8s %s\n", name.c_str(), n, value, unit, note);
        result["limits"][name + "_" + unit + "_threads" + std::to_string(n)] = value;
    };
    const int all = threads > 0 ? threads : qwen3vl::execution::physical_cores();
    for (int n = 1; n <= all; n = n < all ? std::min(2 * n, all) : all + 1) {
        bench::Limits limits(n);
        std::vector<std::int64_t> footprints;
        for (const std::int64_t kibibytes : {16, 512, 8192, 65536})
            if (kibibytes << 10 < largest) footprints.push_back(kibibytes << 10);
        footprints.push_back(largest);
        for (int r = 0; r < repetitions; ++r) {
            for (const auto& c : bench::chains()) limits.again(c.name);
            for (const auto f : footprints) limits.again(f);
        }
        for (const auto& c : bench::chains()) print(c.name, n, limits.peak(c.name) / 1e9, c.unit, "");
        for (const auto f : footprints)
            print("read_" + std::to_string(f >> 10) + "KiB", n, limits.read(f) / 1e9, "GB/s", limits.best_pattern(f));
    }
    if (all > 1) print("core_round_trip", 2, bench::Limits::round_trip() * 1e9, "ns", "");
    bench::write_json(json_file, result);
}

}  // namespace

int main(int argc, char** argv) {
    int threads = 0, repetitions = 5;
    std::int64_t mebibytes = 1024;
    std::string json_file;
    CLI::App app{"The machine's limits: the best of several measurements."};
    app.add_option("--threads", threads, "0: the physical cores")->check(CLI::Range(0, 1024))->capture_default_str();
    app.add_option("--repetitions", repetitions, "measurements of each limit")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    app.add_option("--mebibytes", mebibytes, "the largest footprint of reading, beyond the caches")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    app.add_option("--json", json_file, "writes the table to this file");
    CLI11_PARSE(app, argc, argv);
    try {
        run(threads, repetitions, mebibytes << 20, json_file);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "limits: %s\n", e.what());
        return 1;
    }
    return 0;
}
