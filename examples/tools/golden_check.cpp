// Compares the library with cases recorded from the reference implementation.
//     golden_check CHECKPOINT CASES_DIR [--chunk N]
// The checkpoint (a folder or .gguf file) is one of the small Dims' (Tiny, Tall, Plain, Shapes; chosen by its
// config.json), the cases are safetensors files in the layout of tests/data/tiny_cases. Exit code: 0 all pass, 1
// something differs, 2 a file cannot be used.
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/testing/golden.hpp>
#include <qwen3vl/testing/models.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "exit_code.hpp"
#include "matching_dims.hpp"

namespace q = qwen3vl;
using Candidates = q::list<q::models::Tiny, q::models::Tall, q::models::Plain, q::models::Shapes>;

namespace {

std::vector<std::string> case_files(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error))
        if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
    if (error) throw q::FileError(folder + ": cannot read the folder: " + error.message());
    if (files.empty()) throw q::FileError(folder + ": expected *.safetensors case files, found none");
    std::sort(files.begin(), files.end());
    return files;
}

/// Prints each tensor of each case; returns how many fail.
template <class D>
int check(const std::string& checkpoint, const std::string& cases, int chunk) {
    const auto model = q::Model<D, q::bundles::float32>::load(checkpoint);
    int failures = 0, passes = 0;
    for (const auto& path : case_files(cases)) {
        std::printf("%s\n", path.c_str());
        const auto file = q::checkpoint::SafetensorsFile::open(path);
        for (const auto& row : q::testing::check_golden_case(model, file, chunk)) {
            std::printf("  %-24s absolute %.3e  relative %.3e  %s%s%s\n", row.tensor.c_str(), row.absolute,
                        row.relative, row.pass ? "pass" : "FAIL", row.note.empty() ? "" : ": ", row.note.c_str());
            ++(row.pass ? passes : failures);
        }
    }
    std::printf("%s with %s: %d tensors pass, %d fail (allowed: %.0e of the largest magnitude)\n", checkpoint.c_str(),
                D::name, passes, failures, q::testing::golden_tolerance);
    return failures;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Compares the library, in float32, with cases recorded from the reference implementation."};
    std::string checkpoint, cases;
    int chunk = 0;
    app.add_option("CHECKPOINT", checkpoint,
                   "a checkpoint (folder or .gguf file) of the Dims Tiny, Tall, Plain or Shapes")
        ->required();
    app.add_option("CASES_DIR", cases, "a folder of case files (*.safetensors)")->required();
    app.add_option("--chunk", chunk, "tokens to a prefill chunk; 0: the whole prompt at once")
        ->check(CLI::NonNegativeNumber);
    CLI11_PARSE(app, argc, argv);
    return exit_code("golden_check", [&] {
        int failures = 0;
        with_matching_dims<Candidates>(
            checkpoint, [&](auto dims) { failures = check<typename decltype(dims)::type>(checkpoint, cases, chunk); });
        return failures == 0 ? 0 : 1;
    });
}
