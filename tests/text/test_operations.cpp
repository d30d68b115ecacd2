#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <qwen3vl/activation/activation.hpp>
#include <qwen3vl/attention/attention.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/norm/norm.hpp>
#include <qwen3vl/ops/ops.hpp>
#include <qwen3vl/ops/recording.hpp>
#include <qwen3vl/position/position.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/text/decoder.hpp>
#include "catch.hpp"
#include "random_layer.hpp"

// A second set of operations: plain loops over memory that host code cannot follow, as a device's.

using namespace qwen3vl_test;

namespace operations_test {

/// Memory that only Loops reads and writes.
struct Elsewhere {
    [[maybe_unused]] static constexpr const char* name = "elsewhere";
    template <class T>
    class pointer {
      public:
        pointer() = default;
        explicit pointer(T* p) : place_(p) {}
        operator pointer<const T>() const { return pointer<const T>(place_); }
        pointer operator+(std::int64_t n) const { return pointer(place_ + n); }

      private:
        friend class Loops;
        T* place_ = nullptr;
    };
};
template <class M>
concept HostFollows = requires(M m) {
    *m.data;
}
|| requires(M m) { m.row(0)[0]; };
static_assert(HostFollows<Matrix> && !HostFollows<BasicMatrix<float, Elsewhere>>);
static_assert(!std::is_convertible_v<BasicMatrix<float, Elsewhere>, ConstMatrix>);

using Floats = Elsewhere::pointer<float>;
using Elements = BasicMatrix<float, Elsewhere>;
using ConstElements = BasicMatrix<const float, Elsewhere>;
using Packed = weights::BasicPackedActivations<Elsewhere>;
using Weights = weights::BasicWeightMatrix<Elsewhere>;

/// Keys and values, [kv_heads, context, head_dim] each.
struct Cache {
    [[maybe_unused]] static constexpr const char* name = "elsewhere";
    struct Layer {
        Floats keys, values;
        std::int64_t context, head_dim;
        std::int64_t at(std::int64_t head, std::int64_t token) const { return (head * context + token) * head_dim; }
    };
};
using Chunk = text::LayerChunk<Cache::Layer, mask::Causal, Elsewhere>;

/// Weights and packed activations are rows of float32; sums are double.
class Loops {
  public:
    using Space = Elsewhere;

    template <class Format, std::size_t N>
    void prefetch(const std::array<const Weights*, N>&) const {}
    template <class Format>
    void prefetch(const Weights&, std::int64_t) const {}
    template <class Norm, class Format, class Norms>
    void normalise(ConstElements x, const Norms& w, double epsilon, const Packed& out) const {
        for (std::int64_t r = 0; r < x.rows; ++r)
            put(reference::rms_norm(row(x, r), testing::as_doubles(w.weight), epsilon), floats(out) + r * x.cols);
    }
    template <class Format>
    void pack(ConstElements x, const Packed& out) const {
        for (std::int64_t r = 0; r < x.rows; ++r) std::copy_n(x.row(r).place_, x.cols, floats(out) + r * x.cols);
    }
    template <class Format, std::size_t N>
    void project(const Packed& x, const std::array<const Weights*, N>& matrices, Elements y) const {
        std::int64_t column = 0;
        for (const Weights* w : matrices) {
            for_each(x, *w, [&](std::int64_t r, std::int64_t c, double sum) {
                y.row(r).place_[column + c] = static_cast<float>(sum);
            });
            column += w->rows();
        }
    }
    template <class Format>
    void add(const Packed& x, const Weights& w, const std::vector<float>* /*bias*/, Elements y) const {
        for_each(x, w,
                 [&](std::int64_t r, std::int64_t c, double sum) { y.row(r).place_[c] += static_cast<float>(sum); });
    }
    template <class Format, class Activation>
    void gated(const Packed& x, const Weights& gate, const Weights& up, const Packed& y) const {
        for_each(x, gate, [&](std::int64_t r, std::int64_t c, double sum) {
            floats(y)[r * y.cols + c] = static_cast<float>(sum);
        });
        for_each(x, up, [&](std::int64_t r, std::int64_t c, double sum) {
            float& joined = floats(y)[r * y.cols + c];
            joined = static_cast<float>(reference::swiglu(static_cast<double>(joined), sum));
        });
    }
    template <class Norm, bool Stores>
    void rotate_and_store(const ops::HeadRows<Elsewhere>& rows, std::span<const Chunk> chunks) const {
        for (const Chunk& c : chunks)
            for (std::int64_t t = 0; t < c.count; ++t) {
                const float* in = rows.qkv.row(c.row + t).place_;
                for (std::int64_t h = 0; h < rows.heads; ++h) {
                    auto query = turned(rows, c.row + t, in + h * rows.head_dim, *rows.q_norm);
                    for (double& v : query) v /= std::sqrt(static_cast<double>(rows.head_dim));
                    put(query, c.queries.place_ + ((c.token + t) * rows.heads + h) * rows.head_dim);
                }
                for (std::int64_t h = 0; Stores && h < rows.kv_heads; ++h) {
                    const float *key = in + (rows.heads + h) * rows.head_dim,
                                *value = key + rows.kv_heads * rows.head_dim;
                    put(turned(rows, c.row + t, key, *rows.k_norm), c.cache->keys.place_ + c.cache->at(h, c.first + t));
                    std::copy_n(value, rows.head_dim, c.cache->values.place_ + c.cache->at(h, c.first + t));
                }
            }
    }
    template <class Attention>
    void attend(const ops::HeadRows<Elsewhere>& rows, std::span<const Chunk> chunks, Elements out,
                Floats /*scratch*/) const {
        for (const Chunk& c : chunks)
            for (std::int64_t t = 0; t < c.count; ++t)
                for (std::int64_t h = 0; h < rows.heads; ++h) {
                    const float* query = c.queries.place_ + (t * rows.heads + h) * rows.head_dim;
                    std::vector<double> mixed(static_cast<std::size_t>(rows.head_dim));
                    double total = 0;
                    for (std::int64_t k = 0; k <= c.first + t; ++k) {
                        const std::int64_t at = c.cache->at(h / rows.group(), k);
                        double score = 0;
                        for (std::int64_t i = 0; i < rows.head_dim; ++i)
                            score += double{query[i]} * double{c.cache->keys.place_[at + i]};
                        const double weight = std::exp(score);
                        total += weight;
                        for (std::int64_t i = 0; i < rows.head_dim; ++i)
                            mixed[static_cast<std::size_t>(i)] += weight * double{c.cache->values.place_[at + i]};
                    }
                    for (double& v : mixed) v /= total;
                    put(mixed, out.row(c.row + t).place_ + h * rows.head_dim);
                }
    }

  private:
    static float* floats(const Packed& p) { return reinterpret_cast<float*>(p.data.place_); }
    static std::vector<double> row(ConstElements x, std::int64_t r) {
        return {x.row(r).place_, x.row(r).place_ + x.cols};
    }
    static void put(const std::vector<double>& from, float* to) {
        std::transform(from.begin(), from.end(), to, [](double v) { return static_cast<float>(v); });
    }
    static std::vector<double> turned(const ops::HeadRows<Elsewhere>& rows, std::int64_t r, const float* in,
                                      const std::vector<float>& norm) {
        std::vector<double> head(in, in + rows.head_dim);
        if (!norm.empty()) head = reference::rms_norm(head, testing::as_doubles(norm), rows.epsilon);
        std::vector<double> out(head.size());
        const std::size_t half = head.size() / 2;
        for (std::size_t i = 0; i < half; ++i) {
            const double c = double{rows.cosines.row(r).place_[i]}, s = double{rows.sines.row(r).place_[i]};
            out[i] = head[i] * c - head[half + i] * s;
            out[half + i] = head[half + i] * c + head[i] * s;
        }
        return out;
    }
    template <class F>
    static void for_each(const Packed& x, const Weights& w, F&& f) {
        const auto* values = reinterpret_cast<const float*>(w.data().place_);
        for (std::int64_t r = 0; r < x.rows; ++r)
            for (std::int64_t c = 0; c < w.rows(); ++c) {
                double sum = 0;
                for (std::int64_t i = 0; i < x.cols; ++i)
                    sum += double{floats(x)[r * x.cols + i]} * double{values[c * x.cols + i]};
                f(r, c, sum);
            }
    }
};

/// An execution that brings its own operations.
struct ElsewhereExecution {
    struct Team {};
    template <class Arch>
    using Operations = Loops;
};
static_assert(std::is_same_v<operations_of<ElsewhereExecution, Arch>, Loops>);
static_assert(std::is_same_v<operations_of<execution::Threads<>, Arch>, ops::Cpu<Arch, Team>>);

/// Bytes that are elsewhere.
class Memory {
  public:
    Floats floats(std::int64_t n) { return Floats(blocks_.emplace_back(static_cast<std::size_t>(n)).data()); }
    Elements matrix(std::int64_t rows, std::int64_t cols) { return {floats(rows * cols), rows, cols}; }
    Elsewhere::pointer<std::byte> bytes(std::int64_t n) {
        return Elsewhere::pointer<std::byte>(
            reinterpret_cast<std::byte*>(blocks_.emplace_back(static_cast<std::size_t>(n)).data()));
    }
    std::vector<float>& latest() { return blocks_.back(); }

  private:
    std::deque<std::vector<float>> blocks_;
};

TEST_CASE("a decoder layer in a second set of operations, over memory that host code cannot follow") {
    Team team(1);
    for (const TextDims& d : {models::Tiny::text, models::Tall::text, models::Plain::text}) {
        CAPTURE(d.heads, d.kv_heads, d.head_dim, d.hidden);
        const RandomLayer random(d, team);
        LayerOf<Weights> layer;
        std::size_t next = 0;
        const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
            return Weights(
                Elsewhere::pointer<const std::byte>(reinterpret_cast<const std::byte*>(random.memory[next++].data())),
                rows, cols);
        };
        layer.q = matrix(d.q_dim(), d.hidden);
        layer.k = matrix(d.kv_dim(), d.hidden);
        layer.v = matrix(d.kv_dim(), d.hidden);
        layer.o = matrix(d.hidden, d.q_dim());
        layer.ffn.gate = matrix(d.ffn, d.hidden);
        layer.ffn.up = matrix(d.ffn, d.hidden);
        layer.ffn.down = matrix(d.hidden, d.ffn);
        layer.input_norm.weight = random.layer.input_norm.weight;
        layer.post_norm.weight = random.layer.post_norm.weight;
        layer.q_norm = random.layer.q_norm;
        layer.k_norm = random.layer.k_norm;

        constexpr std::int64_t tokens = 23;
        Positions positions;
        for (int t = 0; t < tokens; ++t) positions.push_back({t, t, t});
        const auto x = testing::Rng(5).floats(static_cast<std::size_t>(tokens * d.hidden));
        const auto expected =
            expected_layer(random, testing::as_rows(x, static_cast<std::size_t>(d.hidden)), positions);
        const double tolerance = testing::float_roundoff * testing::largest_magnitude(expected.values) *
                                 (7 * std::log2(static_cast<double>(d.ffn)) * 4 + 2 * tokens);
        for (const std::int64_t chunk : {std::int64_t{1}, std::int64_t{7}, tokens}) {
            Memory memory;
            Cache::Layer cache{memory.floats(d.kv_dim() * tokens), memory.floats(d.kv_dim() * tokens), tokens,
                               d.head_dim};
            Activations<Elsewhere> b;
            b.input = memory.bytes(chunk * std::max(d.hidden, d.q_dim()));
            b.inner = memory.bytes(chunk * d.ffn);
            b.qkv = memory.matrix(chunk, d.q_dim() + 2 * d.kv_dim());
            b.queries = memory.floats(chunk * d.heads * kv_cache::padded_channels(d.head_dim));
            b.attended = memory.matrix(chunk, d.q_dim());
            b.cosines = memory.matrix(chunk, d.head_dim / 2);
            auto& cosines = memory.latest();
            b.sines = memory.matrix(chunk, d.head_dim / 2);
            auto& sines = memory.latest();
            const auto frequencies = position::frequencies<position::MRopeInterleaved>(d, d.head_dim);
            std::vector<float> found;
            for (std::int64_t first = 0; first < tokens; first += chunk) {
                const std::int64_t count = std::min(chunk, tokens - first);
                b.x = memory.matrix(count, d.hidden);
                auto& rows = memory.latest();
                std::copy_n(x.data() + first * d.hidden, count * d.hidden, rows.data());
                for (std::int64_t i = 0; i < count; ++i)
                    position::angles<position::MRopeInterleaved>(
                        d, frequencies, positions[static_cast<std::size_t>(first + i)],
                        cosines.data() + i * d.head_dim / 2, sines.data() + i * d.head_dim / 2);
                mask::Causal causal;
                using Slots =
                    text::Slots<norm::RMSNorm, activation::SwiGLU, Format, ffn::Gated, attention::Flash<>, Cache>;
                const Chunk chunks[] = {{cache, causal, d, b, 0, count, first}};
                text::decoder_layer<Slots>(Loops{}, d, layer, b, chunks, count);
                found.insert(found.end(), rows.begin(), rows.end());
            }
            CHECK(testing::largest_difference(found, expected.values) <= tolerance);
        }
    }
}

TEST_CASE("a recorder is told of every head on its way to attention, and the results stay the same") {
    constexpr std::int64_t heads = 4, kv_heads = 2, head_dim = 24, channels = 32, rows = 9, first = 3;
    using Execution = ops::Recorded<>;
    using Store = kv_cache::Contiguous<kv_cache::Float32>;
    using Chunk = ops::HeadChunk<Store::Layer, HostSpace>;
    testing::Rng rng(4);
    auto qkv = rng.floats(rows * (heads + 2 * kv_heads) * head_dim), cosines = rng.floats(rows * head_dim / 2),
         sines = rng.floats(cosines.size());
    const kv_cache::Extent extent{kv_heads, channels, 20, 0, 0};
    Execution::Team team(2);
    const auto stored = [&](const ops::Recorder* recorder, int layer) {
        team.recorder = recorder;
        std::vector<std::byte> memory(static_cast<std::size_t>(Store::bytes(extent)));
        std::vector<float> queries(rows * heads * channels), scratch(2 * 2 * channels);
        Store::Layer cache(memory.data(), extent);
        const Chunk chunk{
            .cache = &cache, .row = 0, .count = rows, .first = first, .queries = queries.data(), .tokens = rows};
        const ops::HeadRows<HostSpace> of{.qkv = ConstMatrix(qkv.data(), rows, (heads + 2 * kv_heads) * head_dim),
                                          .heads = heads,
                                          .kv_heads = kv_heads,
                                          .head_dim = head_dim,
                                          .channels = channels,
                                          .cosines = ConstMatrix(cosines.data(), rows, head_dim / 2),
                                          .sines = ConstMatrix(sines.data(), rows, head_dim / 2),
                                          .layer = layer};
        const operations_of<Execution, Arch> ops(team, scratch.data(), 2 * channels);
        ops.rotate_and_store<norm::RMSNorm, true>(of, std::span<const Chunk>(&chunk, 1));
        return std::pair(memory, queries);
    };
    std::mutex mutex;
    std::map<ops::Recorder::Row, std::vector<std::vector<float>>> told;
    ops::Recorder recorder;
    recorder.heads = [&](ops::Recorder::Row kind, int layer, std::int64_t head, const float* row) {
        const std::lock_guard lock(mutex);
        CHECK(layer == 7);
        CHECK(head < kv_heads);
        told[kind].emplace_back(row, row + head_dim);
    };
    const auto plain = stored(nullptr, 7);
    CHECK(stored(&recorder, -1) == plain);  // of the tower
    CHECK(told.empty());
    CHECK(stored(&recorder, 7) == plain);
    CHECK(told[ops::Recorder::Row::query].size() == rows * heads);
    CHECK(told[ops::Recorder::Row::key].size() == rows * kv_heads);
    for (const auto& value : told[ops::Recorder::Row::value])
        CHECK(std::search(qkv.begin(), qkv.end(), value.begin(), value.end()) != qkv.end());
    for (const auto& query : told[ops::Recorder::Row::query])
        CHECK(std::search(plain.second.begin(), plain.second.end(), query.begin(), query.end()) != plain.second.end());
}

}  // namespace operations_test
