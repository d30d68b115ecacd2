#pragma once
#include <cmath>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/ffn/gated.hpp>
#include <qwen3vl/reference/activation.hpp>
#include <qwen3vl/reference/attention.hpp>
#include <qwen3vl/reference/norm.hpp>
#include <qwen3vl/reference/position.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/text/parameters.hpp>
#include <qwen3vl/weights/traits.hpp>

/// A decoder layer of random weights and its oracle.
namespace qwen3vl_test {

using namespace qwen3vl;
using reference::Rows;
using Arch = arch::native;
using Format = weights::Float32;
using Team = execution::Threads<>::Team;
/// Parameters of a layer whose matrices are of type M.
template <class M>
using LayerOf = text::LayerParameters<M, std::vector<float>, ffn::Gated::Parameters<M, std::vector<float>>>;

/// A layer's random weights, as the decoder wants them and as the oracle does.
struct RandomLayer {
    TextDims d;
    std::vector<std::vector<float>> memory;
    LayerOf<weights::WeightMatrix> layer;

    RandomLayer(const TextDims& dims, Team& team, std::size_t seed = 0) : d(dims) {
        memory.reserve(7);
        const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
            memory.push_back(testing::Rng(memory.size() + 1 + seed)
                                 .floats(static_cast<std::size_t>(rows * cols),
                                         static_cast<float>(std::sqrt(3.0 / static_cast<double>(cols)))));
            const TensorView view{
                DType::f32, {rows, cols}, reinterpret_cast<const std::byte*>(memory.back().data()), "test"};
            return weights::load<Arch, Format>(view, "w", rows, cols, team);
        };
        const auto around_one = [](std::int64_t n) {
            auto v = testing::Rng(static_cast<std::uint64_t>(n)).floats(static_cast<std::size_t>(n), 0.3f);
            for (float& x : v) x += 1.0f;
            return v;
        };
        layer.q = matrix(d.q_dim(), d.hidden);
        layer.k = matrix(d.kv_dim(), d.hidden);
        layer.v = matrix(d.kv_dim(), d.hidden);
        layer.o = matrix(d.hidden, d.q_dim());
        layer.ffn.gate = matrix(d.ffn, d.hidden);
        layer.ffn.up = matrix(d.ffn, d.hidden);
        layer.ffn.down = matrix(d.hidden, d.ffn);
        layer.input_norm.weight = around_one(d.hidden);
        layer.post_norm.weight = around_one(d.hidden);
        if (d.qk_norm) layer.q_norm = layer.k_norm = around_one(d.head_dim);
    }
    Rows weight(std::size_t i, std::int64_t cols) const {
        return testing::as_rows(memory[i], static_cast<std::size_t>(cols));
    }
};

using Positions = std::vector<std::array<int, 3>>;

/// The whole layer in double (`Qwen3VLTextDecoderLayer.forward`), with the keys and values of `owner` over the rows
/// `seen` if the layer has none itself.
inline Rows expected_layer(const RandomLayer& r, Rows x, const Positions& positions, const RandomLayer* owner = nullptr,
                           const Rows* seen = nullptr) {
    const TextDims& d = r.d;
    const auto norm_rows = [&](const Rows& in, const std::vector<float>& weight) {
        Rows out(in.rows, in.cols);
        for (std::size_t t = 0; t < in.rows; ++t) {
            const auto row = reference::rms_norm({in.values.begin() + static_cast<std::ptrdiff_t>(t * in.cols),
                                                  in.values.begin() + static_cast<std::ptrdiff_t>((t + 1) * in.cols)},
                                                 testing::as_doubles(weight), d.norm_eps);
            std::copy(row.begin(), row.end(), out.values.begin() + static_cast<std::ptrdiff_t>(t * in.cols));
        }
        return out;
    };
    const auto head_dim = static_cast<std::size_t>(d.head_dim);
    const auto turned = [&](Rows heads, const std::vector<float>& norm) {
        for (std::size_t t = 0; t < heads.rows; ++t)
            for (std::size_t h = 0; h < heads.cols; h += head_dim) {
                std::vector<double> head(head_dim);
                for (std::size_t c = 0; c < head_dim; ++c) head[c] = heads.at(t, h + c);
                if (!norm.empty()) head = reference::rms_norm(head, testing::as_doubles(norm), d.norm_eps);
                head = reference::rotate(head, reference::mrope_angles(d, positions[t]));
                for (std::size_t c = 0; c < head_dim; ++c) heads.at(t, h + c) = head[c];
            }
        return heads;
    };
    const auto add = [](Rows& to, const Rows& what) {
        for (std::size_t i = 0; i < to.values.size(); ++i) to.values[i] += what.values[i];
    };
    Rows normed = norm_rows(x, r.layer.input_norm.weight);
    const Rows q = turned(matmul(normed, r.weight(0, d.hidden)), r.layer.q_norm);
    const RandomLayer& stored = owner ? *owner : r;
    const Rows kept = owner ? norm_rows(*seen, owner->layer.input_norm.weight) : normed;
    const Rows k = turned(matmul(kept, stored.weight(1, d.hidden)), stored.layer.k_norm);
    const Rows attended = reference::attention(q, k, matmul(kept, stored.weight(2, d.hidden)), head_dim,
                                               static_cast<std::size_t>(d.group()), 0,
                                               [](std::size_t query, std::size_t key) { return key <= query; });
    add(x, matmul(attended, r.weight(3, d.q_dim())));
    normed = norm_rows(x, r.layer.post_norm.weight);
    Rows inner = matmul(normed, r.weight(4, d.hidden));
    const Rows up = matmul(normed, r.weight(5, d.hidden));
    for (std::size_t i = 0; i < inner.values.size(); ++i)
        inner.values[i] = reference::swiglu(inner.values[i], up.values[i]);
    add(x, matmul(inner, r.weight(6, d.ffn)));
    return x;
}

}  // namespace qwen3vl_test
