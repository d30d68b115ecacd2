// Measures what a model's matrices are multiplied with, so that integer formats can round their weights by it
// (LoadOptions::calibration).
//     calibrate --model MODEL (FOLDER | --text FILE) --out calibration.safetensors [--skip N] [--limit N]
// FOLDER holds questions (cases.json and images/) in the layout of make_eval.py, beside the shipped model; a text is
// read in windows. The model runs over them in float32; the file receives weights::InputGram of each matrix under its
// name. Exit code: 0, 2 a file cannot be used.
#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include <qwen3vl/ops/recording.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>
#include <qwen3vl/weights/input_gram_sums.hpp>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "compiled_bundles.hpp"
#include "exit_code.hpp"
#include "predictions.hpp"

namespace q = qwen3vl;

namespace {

struct Options : predictions::Recording {
    int block = static_cast<int>(q::weights::least_gram_block);
};

template <class D>
void calibrate(const Options& o) {
    using Watched = typename q::PoliciesWithWeights<q::weights::Mapped<q::weights::Float32>>::template with_execution<
        q::ops::Recorded<>>;
    const auto model = q::Model<D, Watched>::load(o.model, {.mmproj = o.mmproj});
    q::weights::InputGramSums sums(o.block);
    for (const auto& p : model.loaded().parameters)
        if (p.matrix) sums.begin(p.matrix->data(), p.name, p.cols());
    q::ops::Recorder recorder;
    recorder.inputs = [&](const q::weights::WeightMatrix& w, q::ConstMatrix rows) {
        sums.add<q::arch::native>(w.data(), rows);
    };
    const std::int64_t count = o.predict(model, {}, &recorder);
    const auto moments = sums.means();
    std::vector<std::pair<std::string, q::TensorView>> tensors;
    for (const auto& m : moments)
        tensors.emplace_back(
            m.name,
            q::TensorView{q::DType::f32, {m.cols, m.block}, reinterpret_cast<const std::byte*>(m.values.data()), {}});
    q::checkpoint::write_safetensors(
        o.out, tensors,
        {{"format", "pt"}, {"content", "mean products of the inputs of each matrix, in blocks of columns"}});
    std::printf("%s: the inputs of %zu matrices over %lld predicted tokens\n", o.out.c_str(), tensors.size(),
                static_cast<long long>(count));
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{
        "Measures what a model's matrices are multiplied with, so that integer formats can round their weights by it."};
    Options o;
    o.add_to(app);
    app.add_option("--block", o.block,
                   "columns that make up for each other's rounding: a larger block costs memory and rounds better")
        ->check(CLI::IsMember({128, 256, 512, 1024}))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    return exit_code("calibrate", [&] {
        o.with_dims<CompiledDims>([&](auto dims) { calibrate<typename decltype(dims)::type>(o); });
        return 0;
    });
}
