#include <qwen3vl/activation/activation.hpp>
#include <qwen3vl/attention/attention.hpp>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/ffn/gated.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/norm/norm.hpp>
#include <qwen3vl/position/position.hpp>
#include <qwen3vl/reference/activation.hpp>
#include <qwen3vl/reference/attention.hpp>
#include <qwen3vl/reference/norm.hpp>
#include <qwen3vl/reference/position.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/text/decoder.hpp>
#include "catch.hpp"

using namespace qwen3vl;
using reference::Rows;

namespace {

using Arch = arch::native;
using Format = weights::Float32;
using Team = execution::Threads<>::Team;
using Cache = kv_cache::Contiguous<kv_cache::Float32>;
using Layer = text::LayerParameters<weights::WeightMatrix, std::vector<float>>;

/// A layer's random weights, as the decoder wants them and as the oracle does.
struct RandomLayer {
    TextDims d;
    std::vector<std::vector<float>> memory;
    Layer layer;

    RandomLayer(const TextDims& dims, Team& team, std::size_t seed = 0) : d(dims) {
        memory.reserve(7);
        const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
            memory.push_back(testing::Rng(memory.size() + 1 + seed)
                                 .floats(static_cast<std::size_t>(rows * cols), static_cast<float>(std::sqrt(3.0 / static_cast<double>(cols)))));
            const TensorView view{DType::f32, {rows, cols}, reinterpret_cast<const std::byte*>(memory.back().data()), "test"};
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
        layer.gate = matrix(d.ffn, d.hidden);
        layer.up = matrix(d.ffn, d.hidden);
        layer.down = matrix(d.hidden, d.ffn);
        layer.input_norm.weight = around_one(d.hidden);
        layer.post_norm.weight = around_one(d.hidden);
        if (d.qk_norm) layer.q_norm = layer.k_norm = around_one(d.head_dim);
    }
    Rows weight(std::size_t i, std::int64_t cols) const { return testing::as_rows(memory[i], static_cast<std::size_t>(cols)); }
};

using Positions = std::vector<std::array<int, 3>>;

/// The whole layer in double (`Qwen3VLTextDecoderLayer.forward`), with the keys and values of `owner` over the rows `seen` if the layer has none itself.
Rows expected_layer(const RandomLayer& r, Rows x, const Positions& positions, const RandomLayer* owner = nullptr, const Rows* seen = nullptr) {
    const TextDims& d = r.d;
    const auto norm_rows = [&](const Rows& in, const std::vector<float>& weight) {
        Rows out(in.rows, in.cols);
        for (std::size_t t = 0; t < in.rows; ++t) {
            const auto row = reference::rms_norm(
                {in.values.begin() + static_cast<std::ptrdiff_t>(t * in.cols), in.values.begin() + static_cast<std::ptrdiff_t>((t + 1) * in.cols)},
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
    const Rows attended = reference::attention(q, k, matmul(kept, stored.weight(2, d.hidden)), head_dim, static_cast<std::size_t>(d.group()), 0,
                                               [](std::size_t query, std::size_t key) { return key <= query; });
    add(x, matmul(attended, r.weight(3, d.q_dim())));
    normed = norm_rows(x, r.layer.post_norm.weight);
    Rows inner = matmul(normed, r.weight(4, d.hidden));
    const Rows up = matmul(normed, r.weight(5, d.hidden));
    for (std::size_t i = 0; i < inner.values.size(); ++i) inner.values[i] = reference::swiglu(inner.values[i], up.values[i]);
    add(x, matmul(inner, r.weight(6, d.ffn)));
    return x;
}

/// Through a layer, and through a second one that shares its cache.
std::vector<float> run_layer(const RandomLayer& r, const std::vector<float>& x, const Positions& positions, Team& team, std::int64_t chunk,
                             const RandomLayer* second = nullptr) {
    const TextDims& d = r.d;
    const auto tokens = static_cast<std::int64_t>(positions.size()), channels = kv_cache::padded_channels(d.head_dim);
    const kv_cache::Extent extent{d.kv_heads, channels, tokens, 0, 0};
    std::vector<std::byte> memory(static_cast<std::size_t>(Cache::bytes(extent)));
    Cache::Layer cache(memory.data(), extent);
    std::vector<float> pool(static_cast<std::size_t>(chunk * (d.hidden + 2 * d.q_dim() + 2 * d.kv_dim() + d.heads * channels + d.head_dim) +
                                                     team.threads() * text::row_floats(d) +
                                                     attention::scratch_floats<attention::Flash<>>(team.threads(), d.kv_heads, d.group(), channels, tokens)));
    float* next = pool.data();
    const auto floats = [&](std::int64_t n) { return std::exchange(next, next + n); };
    text::Buffers b{};
    for (auto [matrix, cols] : {std::pair(&b.x, d.hidden), std::pair(&b.qkv, d.q_dim() + 2 * d.kv_dim()), std::pair(&b.attended, d.q_dim()),
                                std::pair(&b.cosines, d.head_dim / 2), std::pair(&b.sines, d.head_dim / 2)})
        *matrix = Matrix(floats(chunk * cols), chunk, cols);
    b.queries = floats(chunk * d.heads * channels);
    b.scratch = floats(attention::scratch_floats<attention::Flash<>>(team.threads(), d.kv_heads, d.group(), channels, tokens));
    b.rows = floats(team.threads() * text::row_floats(d));
    using Traits = weights::traits<Format>;
    std::vector<std::byte> input(static_cast<std::size_t>(Traits::input_bytes<Arch>(chunk, std::max(d.hidden, d.q_dim())))),
        inner(static_cast<std::size_t>(Traits::input_bytes<Arch>(chunk, d.ffn)));
    b.input = input.data();
    b.inner = inner.data();
    const auto frequencies = position::frequencies<position::MRopeInterleaved>(d, d.head_dim);
    std::vector<float> out;
    for (std::int64_t first = 0; first < tokens; first += chunk) {
        const std::int64_t count = std::min(chunk, tokens - first);
        std::copy_n(x.data() + first * d.hidden, count * d.hidden, b.x.data);
        for (std::int64_t i = 0; i < count; ++i)
            position::angles<position::MRopeInterleaved>(d, frequencies, positions[static_cast<std::size_t>(first + i)], b.cosines.row(i), b.sines.row(i));
        mask::Causal causal;
        text::decoder_layer<Arch, norm::RMSNorm, activation::SwiGLU, Format, ffn::Gated, attention::Flash<>>(team, d, r.layer, b, cache, causal, count, first);
        if (second)
            text::decoder_layer<Arch, norm::RMSNorm, activation::SwiGLU, Format, ffn::Gated, attention::Flash<>, false>(team, d, second->layer, b, cache,
                                                                                                                        causal, count, first);
        out.insert(out.end(), b.x.data, b.x.data + count * d.hidden);
    }
    return out;
}

}  // namespace

TEST_CASE("a decoder layer equals its oracle and depends on neither chunk nor threads") {
    Team one(1), three(3);
    TextDims odd = models::Tiny::text;  // uneven everywhere
    odd.heads = 5;
    odd.kv_heads = 5;
    odd.head_dim = 24;
    odd.mrope_section = {4, 4, 4};
    odd.hidden = 50;
    odd.ffn = 67;
    for (const TextDims& d : {models::Tiny::text, models::Tall::text, models::Plain::text, odd}) {
        CAPTURE(d.heads, d.kv_heads, d.head_dim, d.hidden);
        const RandomLayer layer(d, one);
        Positions positions;
        for (int t = 0; t < 75; ++t)
            positions.push_back(t < 20 || t >= 56 ? std::array{t, t, t} : std::array{20, 20 + (t - 20) / 6, 20 + (t - 20) % 6});  // a picture within text
        const auto x = testing::Rng(5).floats(static_cast<std::size_t>(75 * d.hidden));
        const auto found = run_layer(layer, x, positions, one, 75);
        const auto expected = expected_layer(layer, testing::as_rows(x, static_cast<std::size_t>(d.hidden)), positions);
        // Seven sums over at most `ffn` addends follow each other, each rounding log2 of it times on the average path and amplified by at most the
        // spread of a row (some 4 standard deviations); angles up to 75 round relatively and turn queries and keys by that.
        const double tolerance =
            testing::float_roundoff * testing::largest_magnitude(expected.values) * (7 * std::log2(static_cast<double>(d.ffn)) * 4 + 2 * 75);
        CHECK(testing::largest_difference(found, expected.values) <= tolerance);
        CHECK(testing::same_bits(run_layer(layer, x, positions, three, 75), found));
        for (std::int64_t chunk : {1, 7, 64}) CHECK(testing::same_bits(run_layer(layer, x, positions, one, chunk), found));
    }
}

TEST_CASE("a layer that shares the cache of the one before it equals its oracle") {
    Team one(1), three(3);
    for (const TextDims& d : {models::Tiny::text, models::Tall::text}) {
        const RandomLayer first(d, one), second(d, one, 100);
        Positions positions;
        for (int t = 0; t < 75; ++t) positions.push_back({t, t, t});
        const auto x = testing::Rng(5).floats(static_cast<std::size_t>(75 * d.hidden));
        const auto found = run_layer(first, x, positions, one, 75, &second);
        const Rows rows = testing::as_rows(x, static_cast<std::size_t>(d.hidden));
        const auto expected = expected_layer(second, expected_layer(first, rows, positions), positions, &first, &rows);
        // as above, for two layers, the second of which amplifies the first one's errors
        const double tolerance =
            2 * 4 * testing::float_roundoff * testing::largest_magnitude(expected.values) * (7 * std::log2(static_cast<double>(d.ffn)) * 4 + 2 * 75);
        CHECK(testing::largest_difference(found, expected.values) <= tolerance);
        for (std::int64_t chunk : {1, 7, 64}) CHECK(testing::same_bits(run_layer(first, x, positions, three, chunk, &second), found));
    }
}
