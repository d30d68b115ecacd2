#include <qwen3vl/activation/activation.hpp>
#include <qwen3vl/attention/attention.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/norm/norm.hpp>
#include <qwen3vl/ops/cpu.hpp>
#include <qwen3vl/position/position.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/text/decoder.hpp>
#include "catch.hpp"
#include "random_layer.hpp"

using namespace qwen3vl_test;

namespace decoder_test {

using Cache = kv_cache::Contiguous<kv_cache::Float32>;

/// Through a layer, and through a second one that shares its cache.
std::vector<float> run_layer(const RandomLayer& r, const std::vector<float>& x, const Positions& positions, Team& team,
                             std::int64_t chunk, const RandomLayer* second = nullptr) {
    const TextDims& d = r.d;
    const auto tokens = static_cast<std::int64_t>(positions.size()), channels = kv_cache::padded_channels(d.head_dim);
    const kv_cache::Extent extent{d.kv_heads, channels, tokens, 0, 0};
    std::vector<std::byte> memory(static_cast<std::size_t>(Cache::bytes(extent)));
    Cache::Layer cache(memory.data(), extent);
    std::vector<float> pool(static_cast<std::size_t>(
        chunk * (d.hidden + 2 * d.q_dim() + 2 * d.kv_dim() + d.heads * channels + d.head_dim) +
        team.threads() * text::row_floats(d) +
        attention::scratch_floats<attention::Flash<>>(team.threads(), d.kv_heads, d.group(), channels, tokens)));
    float* next = pool.data();
    const auto floats = [&](std::int64_t n) { return std::exchange(next, next + n); };
    Activations<> b;
    for (auto [matrix, cols] :
         {std::pair(&b.x, d.hidden), std::pair(&b.qkv, d.q_dim() + 2 * d.kv_dim()), std::pair(&b.attended, d.q_dim()),
          std::pair(&b.cosines, d.head_dim / 2), std::pair(&b.sines, d.head_dim / 2)})
        *matrix = Matrix(floats(chunk * cols), chunk, cols);
    b.queries = floats(chunk * d.heads * channels);
    b.scratch =
        floats(attention::scratch_floats<attention::Flash<>>(team.threads(), d.kv_heads, d.group(), channels, tokens));
    b.rows = floats(team.threads() * text::row_floats(d));
    using Traits = weights::traits<Format>;
    std::vector<std::byte> input(
        static_cast<std::size_t>(Traits::activation_bytes<Arch>(chunk, std::max(d.hidden, d.q_dim())))),
        inner(static_cast<std::size_t>(Traits::activation_bytes<Arch>(chunk, d.ffn)));
    b.input = input.data();
    b.inner = inner.data();
    const auto frequencies = position::frequencies<position::MRopeInterleaved>(d, d.head_dim);
    std::vector<float> out;
    for (std::int64_t first = 0; first < tokens; first += chunk) {
        const std::int64_t count = std::min(chunk, tokens - first);
        std::copy_n(x.data() + first * d.hidden, count * d.hidden, b.x.data);
        for (std::int64_t i = 0; i < count; ++i)
            position::angles<position::MRopeInterleaved>(d, frequencies, positions[static_cast<std::size_t>(first + i)],
                                                         b.cosines.row(i), b.sines.row(i));
        mask::Causal causal;
        using Slots = text::Slots<norm::RMSNorm, activation::SwiGLU, Format, ffn::Gated, attention::Flash<>, Cache>;
        using Shared = text::Slots<norm::RMSNorm, activation::SwiGLU, Format, ffn::Gated, attention::Flash<>, Cache,
                                   text::SharedKeys>;
        const text::LayerChunk<Cache::Layer, mask::Causal> rows[] = {{cache, causal, d, b, 0, count, first}};
        const ops::Cpu<Arch, Team> ops(team, b.rows, text::row_floats(d));
        text::decoder_layer<Slots>(ops, d, r.layer, b, rows, count);
        if (second) text::decoder_layer<Shared>(ops, d, second->layer, b, rows, count);
        out.insert(out.end(), b.x.data, b.x.data + count * d.hidden);
    }
    return out;
}

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
            positions.push_back(t < 20 || t >= 56
                                    ? std::array{t, t, t}
                                    : std::array{20, 20 + (t - 20) / 6, 20 + (t - 20) % 6});  // a picture within text
        const auto x = testing::Rng(5).floats(static_cast<std::size_t>(75 * d.hidden));
        const auto found = run_layer(layer, x, positions, one, 75);
        const auto expected = expected_layer(layer, testing::as_rows(x, static_cast<std::size_t>(d.hidden)), positions);
        // Seven sums over at most `ffn` addends follow each other, each rounding log2 of it times on the average path
        // and amplified by at most the spread of a row (some 4 standard deviations); angles up to 75 round relatively
        // and turn queries and keys by that.
        const double tolerance = testing::float_roundoff * testing::largest_magnitude(expected.values) *
                                 (7 * std::log2(static_cast<double>(d.ffn)) * 4 + 2 * 75);
        CHECK(testing::largest_difference(found, expected.values) <= tolerance);
        CHECK(testing::same_bits(run_layer(layer, x, positions, three, 75), found));
        for (std::int64_t chunk : {1, 7, 64})
            CHECK(testing::same_bits(run_layer(layer, x, positions, one, chunk), found));
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
        const double tolerance = 2 * 4 * testing::float_roundoff * testing::largest_magnitude(expected.values) *
                                 (7 * std::log2(static_cast<double>(d.ffn)) * 4 + 2 * 75);
        CHECK(testing::largest_difference(found, expected.values) <= tolerance);
        for (std::int64_t chunk : {1, 7, 64})
            CHECK(testing::same_bits(run_layer(first, x, positions, three, chunk, &second), found));
    }
}

}  // namespace decoder_test
