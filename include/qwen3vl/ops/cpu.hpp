#pragma once
#include <array>
#include <qwen3vl/attention/layer.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/kernels/rows.hpp>
#include <qwen3vl/norm/rows.hpp>
#include <qwen3vl/ops/heads.hpp>
#include <qwen3vl/weights/linear.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::ops {

/// Operations of the model on the CPU, in the kernels of an Arch on the threads of a team. Decoder, tower and policies
/// say what happens in these terms; another execution brings a set of its own with the same members. Every row's result
/// has the same bits whatever rows stand beside it, on any number of threads. Formats are plain weight formats; `bias`
/// may be null. Packed activations (weights::PackedActivations) are in the layout that a format's dense layers read.
template <class TheArch, class TheTeam>
class Cpu {
  public:
    using Arch = TheArch;                              ///< instruction set of the kernels
    using Team = TheTeam;                              ///< threads of the execution policy
    using Space = HostSpace;                           ///< where activations and weights lie
    using Norms = NormParameters<std::vector<float>>;  ///< parameters of a norm
    using Weights = weights::WeightMatrix;             ///< matrices as dense layers take them

    /// `scratch` holds `floats` floats for each thread of the team.
    Cpu(Team& team, float* scratch, std::int64_t floats) : team_(&team), scratch_(scratch), floats_(floats) {}

    /// The threads, for a policy's own work.
    Team& team() const { return *team_; }

    // Rows

    /// to = from.
    void copy_rows(ConstMatrix from, Matrix to) const {
        for_rows(from.rows, [&](std::int64_t r) { std::copy_n(from.row(r), from.cols, to.row(r)); });
    }
    /// to += from.
    void add_rows(ConstMatrix from, Matrix to) const {
        for_rows(from.rows, [&](std::int64_t r) { kernels::add_row<Arch>(from.row(r), from.cols, to.row(r)); });
    }
    /// Row r of to += factors[r] * (row r of from).
    void add_rows(ConstMatrix from, const float* factors, Matrix to) const {
        for_rows(from.rows,
                 [&](std::int64_t r) { kernels::add_scaled_row<Arch>(factors[r], from.row(r), from.cols, to.row(r)); });
    }
    /// Row r of x *= factors[r].
    void scale_rows(const float* factors, Matrix x) const {
        for_rows(x.rows, [&](std::int64_t r) { kernels::scale_row<Arch>(factors[r], x.cols, x.row(r)); });
    }
    /// out[r] = f(w · row r of x), f being a function of floats.
    template <class F>
    void dot_rows(ConstMatrix x, const std::vector<float>& w, float* out, F&& f) const {
        for_rows(x.rows, [&](std::int64_t r) { out[r] = f(kernels::dot_row<Arch>(x.row(r), w.data(), x.cols)); });
    }
    /// Rows that the host computes, on the calling thread: f(row, values).
    template <class F>
    void write_rows(Matrix to, F&& f) const {
        for (std::int64_t r = 0; r < to.rows; ++r) f(r, to.row(r));
    }
    /// Rows for the host: f(row, values), on the calling thread.
    template <class F>
    void read_rows(ConstMatrix from, F&& f) const {
        for (std::int64_t r = 0; r < from.rows; ++r) f(r, from.row(r));
    }
    /// Zeroes bytes.
    void clear(std::byte* memory, std::int64_t bytes) const { std::memset(memory, 0, static_cast<std::size_t>(bytes)); }

    // Activations on their way to a dense layer

    /// out = pack(x).
    template <class Format>
    void pack(ConstMatrix x, const weights::PackedActivations& out) const {
        weights::pack_rows<Arch, Format>(*team_, x, out);
    }
    /// Row r of out = pack(row order(r) of x).
    template <class Format, class Order>
    void gather(ConstMatrix x, const weights::PackedActivations& out, Order&& order) const {
        for_rows(out.rows, [&](std::int64_t r) {
            weights::traits<Format>::template pack_activations<Arch>(out, r, 0, x.cols, x.row(order(r)));
        });
    }
    /// out = pack(Norm(x)), each group of `width` columns apart; 0: all columns are one.
    template <class Norm, class Format>
    void normalise(ConstMatrix x, const Norms& w, double epsilon, const weights::PackedActivations& out,
                   std::int64_t width = 0) const {
        norm::normalise<Arch, Norm>(
            *team_, x, w, epsilon, width, scratch_, floats_, [&](std::int64_t row, const float* values) {
                weights::traits<Format>::template pack_activations<Arch>(out, row, 0, x.cols, values);
            });
    }
    /// out = Norm(x).
    template <class Norm>
    void normalise(ConstMatrix x, const Norms& w, double epsilon, Matrix out) const {
        norm::normalise<Arch, Norm>(
            *team_, x, w, epsilon, 0, scratch_, floats_,
            [&](std::int64_t row, const float* values) { std::copy_n(values, x.cols, out.row(row)); });
    }

    // Dense layers

    /// Hint: project() over these matrices, or gated() that begins with one, comes next.
    template <class Format, std::size_t N>
    void prefetch(const std::array<const Weights*, N>& w) const {
        weights::prefetch<Arch, Format>(*team_, w);
    }
    /// Hint: store() or add() of `rows` rows over w comes next.
    template <class Format>
    void prefetch(const Weights& w, std::int64_t rows) const {
        weights::prefetch<Arch, Format>(*team_, std::array{&w}, weights::free_height<Arch>(rows, w));
    }
    /// y = x · W^T for several matrices, whose results lie side by side.
    template <class Format, std::size_t N>
    void project(const weights::PackedActivations& x, const std::array<const Weights*, N>& w, Matrix y) const {
        std::array<std::int64_t, N> begin{};
        for (std::size_t i = 1; i < N; ++i) begin[i] = begin[i - 1] + w[i - 1]->rows();
        weights::linear<Arch, Format>(
            *team_, x, w,
            [&](int which, std::int64_t row, std::int64_t column, std::int64_t count, const float* values) {
                std::copy_n(values, count, y.row(row) + begin[static_cast<std::size_t>(which)] + column);
            });
    }
    /// y = x · W^T + bias.
    template <class Format>
    void store(const weights::PackedActivations& x, const Weights& w, const std::vector<float>* bias, Matrix y) const {
        weights::linear_store<Arch, Format>(*team_, x, w, bias ? bias->data() : nullptr, y);
    }
    /// y += x · W^T + bias: a dense layer that ends in a residual connection.
    template <class Format>
    void add(const weights::PackedActivations& x, const Weights& w, const std::vector<float>* bias, Matrix y) const {
        weights::linear_add<Arch, Format>(*team_, x, w, bias ? bias->data() : nullptr, y);
    }
    /// Row r of y += factors[r] * (row r of x · W^T): a residual connection with gates.
    template <class Format>
    void add_scaled(const weights::PackedActivations& x, const Weights& w, const float* factors, Matrix y) const {
        weights::linear_add_scaled<Arch, Format>(*team_, x, w, factors, y);
    }
    /// y = pack(activation(x · W^T + bias)).
    template <class Format, class Activation>
    void activated(const weights::PackedActivations& x, const Weights& w, const std::vector<float>& bias,
                   const weights::PackedActivations& y) const {
        weights::linear<Arch, Format>(
            *team_, x, std::array{&w},
            [&](int, std::int64_t row, std::int64_t first, std::int64_t count, const float* sums) {
                alignas(64) float out[std::size_t{weights::most_task_rows<Arch>}];
                std::copy_n(sums, count, out);
                kernels::add_row<Arch>(bias.data() + first, count, out);
                Activation::template row<Arch>(out, count, out);
                weights::traits<Format>::template pack_activations<Arch>(y, row, first, count, out);
            });
    }
    /// y = pack(activation(x · gate^T, x · up^T)).
    template <class Format, class Activation>
    void gated(const weights::PackedActivations& x, const Weights& gate, const Weights& up,
               const weights::PackedActivations& y) const {
        weights::linear_pair<Arch, Format>(
            *team_, x, gate, up,
            [&](std::int64_t row, std::int64_t first, std::int64_t count, const float* left, const float* right) {
                alignas(64) float joined[std::size_t{weights::most_task_rows<Arch>}];
                Activation::template row<Arch>(left, right, count, joined);
                weights::traits<Format>::template pack_activations<Arch>(y, row, first, count, joined);
            });
    }

    // Attention

    /// Queries to the chunks', keys and values to their caches: see ops/heads.hpp.
    template <class Norm, bool Stores, class Chunk, class Order = InSequence>
    void rotate_and_store(const HeadRows<Space>& rows, std::span<const Chunk> chunks, const Order& order = {}) const {
        ops::rotate_and_store<Arch, Norm, Stores>(*team_, rows, chunks, scratch_, floats_, order);
    }
    /// Attention of chunks over their caches, which hold the chunks' own keys, to their rows of `out`; the masks'
    /// states take note of the keys. A chunk has a mask beside what rotate_and_store() was told. `scratch`:
    /// attention::layer_scratch_floats().
    template <class Attention, class Chunk>
    void attend(const HeadRows<Space>& rows, std::span<const Chunk> chunks, Matrix out, float* scratch) const {
        for (const Chunk& c : chunks)
            attention::attend_layer<Arch, Attention>(*team_, queries_of(rows, c, out), *c.cache, *c.mask, scratch);
    }
    /// Attention of a frame pair over its own keys, as an object of its mask sees them. `scratch`:
    /// attention::scratch_floats().
    template <class Attention, class Cache, class Mask>
    void attend_picture(const HeadRows<Space>& rows, const HeadChunk<Cache, Space>& c, const Mask& visible, Matrix out,
                        float* scratch) const {
        const auto tile = [&](std::int64_t head, std::int64_t index) { return c.cache->tile(head, index, c.tokens); };
        attention::attend<Arch, Attention>(*team_, queries_of(rows, c, out), tile, scratch, visible);
    }
    /// Attention of a chunk over the first `keys` keys of its cache, all of which each of its tokens sees, to its rows
    /// of `out`. `scratch`: attention::scratch_floats().
    template <class Attention, class Cache>
    void attend_all(const HeadRows<Space>& rows, const HeadChunk<Cache, Space>& c, std::int64_t keys, Matrix out,
                    float* scratch) const {
        const auto tile = [&](std::int64_t head, std::int64_t index) { return c.cache->tile(head, index, keys); };
        attention::Heads heads = queries_of(rows, c, out);
        heads.keys = keys;
        attention::attend<Arch, Attention>(*team_, heads, tile, scratch);
    }

  private:
    template <class F>
    void for_rows(std::int64_t rows, F&& f) const {
        execution::for_row_blocks(*team_, rows, 8, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t r = begin; r < end; ++r) f(r);
        });
    }

    Team* team_;
    float* scratch_;
    std::int64_t floats_;
};

}  // namespace qwen3vl::ops
