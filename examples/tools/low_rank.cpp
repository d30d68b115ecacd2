// Makes the directions along which kv_cache::LowRank keeps keys and values, from what a model computes over calibration
// text or questions.
//     low_rank --model MODEL (FOLDER | --text FILE) --out low_rank.safetensors [--skip N] [--limit N]
// FOLDER holds questions (cases.json and images/) in the layout of make_eval.py, beside the shipped model; a text is
// read in windows. The model runs over them in float32; the file receives "layers.N.kv_cache.keys" and
// "layers.N.kv_cache.values" [kv_heads, head_dim, head_dim]: orthonormal rows, the right singular vectors of all values
// of a head, and of its keys together with the queries that ask for them, both of the same weight (Saxena et al., 2024,
// "Eigen Attention", section 3.1). LowRank takes the first of them, so that one file serves every Rank. It also prints,
// for some ranks, the share of the squares of queries, keys and values that is kept. Exit code: 0, 2 a file cannot be
// used.
#include <CLI/CLI.hpp>
#include <Eigen/Eigenvalues>
#include <cstdio>
#include <deque>
#include <mutex>
#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include <qwen3vl/ops/recording.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/qwen3vl.hpp>

#include "compiled_bundles.hpp"
#include "exit_code.hpp"
#include "predictions.hpp"

namespace q = qwen3vl;

namespace {

/// What is kept of the squares of rows, by the number of directions.
struct Kept {
    Eigen::VectorXd keys, values;  ///< sums over all heads
    double heads = 0;
    double share(const Eigen::VectorXd& sums, std::int64_t rank) const { return sums.head(rank).sum() / heads; }
};

/// The directions of one head, [head_dim, head_dim], and the share of each in the squares.
Eigen::MatrixXd directions(const Eigen::MatrixXd& products, Eigen::VectorXd& shares) {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> found(products);  // eigenvalues ascend
    shares += found.eigenvalues().reverse().cwiseMax(0) / std::max(products.trace(), 1e-300);
    return found.eigenvectors().rowwise().reverse().transpose();
}

/// Sums of the products of pairs of channels over what a layer's heads are given: keys, queries with their key/value
/// head, and values.
struct HeadGrams {
    explicit HeadGrams(const q::TextDims& d) {
        for (auto* kind : {&queries, &keys, &values})
            kind->assign(static_cast<std::size_t>(d.kv_heads), Eigen::MatrixXd::Zero(d.head_dim, d.head_dim));
    }
    void add(q::ops::Recorder::Row kind, std::int64_t head, const float* values_of_row) {
        auto& gram = (kind == q::ops::Recorder::Row::query ? queries
                      : kind == q::ops::Recorder::Row::key ? keys
                                                           : values)[static_cast<std::size_t>(head)];
        const Eigen::VectorXd row = Eigen::Map<const Eigen::VectorXf>(values_of_row, gram.rows()).cast<double>();
        const std::lock_guard lock(mutex);
        gram.noalias() += row * row.transpose();
    }
    std::vector<Eigen::MatrixXd> queries, keys, values;
    std::mutex mutex;
};
/// With a trace of 1, where there is any.
Eigen::MatrixXd weighted(const Eigen::MatrixXd& products) { return products / std::max(products.trace(), 1e-300); }

template <class D>
void make(const predictions::Recording& o) {
    using Watching = q::Policies<
        q::Choice<q::slot::text,
                  q::TextPolicies<q::Choice<q::slot::weights, q::weights::Float32>,
                                  q::Choice<q::slot::kv_cache, q::kv_cache::Contiguous<q::kv_cache::Float32>>>>,
        q::Choice<q::slot::vision, q::VisionPolicies<q::Choice<q::slot::weights, q::weights::Float32>>>,
        q::Choice<q::slot::execution, q::ops::Recorded<>>>;
    constexpr q::TextDims d = D::text;
    std::deque<HeadGrams> layers;
    for (int layer = 0; layer < d.layers; ++layer) layers.emplace_back(d);
    q::ops::Recorder recorder;
    recorder.heads = [&](q::ops::Recorder::Row kind, int layer, std::int64_t head, const float* row) {
        layers[static_cast<std::size_t>(layer)].add(kind, head, row);
    };
    const auto model = q::Model<D, Watching>::load(o.model, {.mmproj = o.mmproj});
    const std::int64_t count = o.predict(model, {}, &recorder);

    Kept kept{Eigen::VectorXd::Zero(d.head_dim), Eigen::VectorXd::Zero(d.head_dim)};
    std::vector<std::vector<float>> tables;
    std::vector<std::string> names;
    const auto add = [&](int layer, const char* name) -> std::vector<float>& {
        names.push_back("layers." + std::to_string(layer) + ".kv_cache." + name);
        return tables.emplace_back();
    };
    const auto append = [](std::vector<float>& table, const Eigen::MatrixXd& rows) {
        for (Eigen::Index r = 0; r < rows.rows(); ++r)
            for (Eigen::Index c = 0; c < rows.cols(); ++c) table.push_back(static_cast<float>(rows(r, c)));
    };
    tables.reserve(static_cast<std::size_t>(2 * d.layers));
    for (int layer = 0; layer < d.layers; ++layer) {
        const auto& seen = layers[static_cast<std::size_t>(layer)];
        auto &keys = add(layer, "keys"), &values = add(layer, "values");
        for (std::int64_t h = 0; h < d.kv_heads; ++h, ++kept.heads) {
            const auto head = static_cast<std::size_t>(h);
            append(keys, directions(weighted(seen.keys[head]) + weighted(seen.queries[head]), kept.keys));
            append(values, directions(seen.values[head], kept.values));
        }
    }
    std::vector<std::pair<std::string, q::TensorView>> tensors;
    for (std::size_t i = 0; i < tables.size(); ++i)
        tensors.emplace_back(names[i], q::TensorView{q::DType::f32,
                                                     {d.kv_heads, d.head_dim, d.head_dim},
                                                     reinterpret_cast<const std::byte*>(tables[i].data()),
                                                     {}});
    q::checkpoint::write_safetensors(
        o.out, tensors,
        {{"format", "pt"}, {"content", "orthonormal directions of keys and values, by falling weight"}});
    std::printf("%s: %zu matrices from %lld predicted tokens\n%8s %18s %8s\n", o.out.c_str(), tensors.size(),
                static_cast<long long>(count), "rank", "queries and keys", "values");
    for (const int share : {1, 2, 3, 4, 6, 8}) {
        const std::int64_t rank = d.head_dim * share / 8;
        std::printf("%8lld %18.4f %8.4f\n", static_cast<long long>(rank), kept.share(kept.keys, rank),
                    kept.share(kept.values, rank));
    }
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Makes the directions along which kv_cache::LowRank keeps keys and values."};
    predictions::Recording o;
    o.add_to(app);
    CLI11_PARSE(app, argc, argv);
    return exit_code("low_rank", [&] {
        o.with_dims<CompiledDims>([&](auto dims) { make<typename decltype(dims)::type>(o); });
        return 0;
    });
}
