#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/attention/random_features.hpp>
#include <qwen3vl/kernels/exponential.hpp>
#include <qwen3vl/kv_cache/recurrent.hpp>
#include <qwen3vl/mask/causal.hpp>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Linear attention by positive orthogonal random features, FAVOR+ (Choromanski et al., 2021, "Rethinking attention
/// with Performers", eq. 7 and 12). exp(q · k) is the mean over F.n directions w of exp(w · q - |q|^2 / 2) exp(w · k -
/// |k|^2 / 2). So the sums over earlier keys are a state of fixed size, and time grows linearly with the tokens. Within
/// the tile of the query the products are taken key by key. Features are divided by the largest of their key or query,
/// and sums by the largest so far, as in an online softmax. The paper's code (appendix B) then adds 1e-6; here 2^-40,
/// which no float32 sum sees unless all else vanished. Approximate: the error falls with the square root of F.n and
/// grows fast with the size of the scores. Needs kv_cache::Recurrent with the same Features.
///     attention::Linear<Features{256}>
template <Features F = Features{256}>
struct Linear {
    static_assert(F.n > 0 && F.n % 64 == 0, "qwen3vl: slot attention: Linear needs a multiple of 64 Features");
    static constexpr const char* name = "Linear";
    using mask = qwen3vl::mask::Causal;
    static constexpr bool recurrent = true;        ///< its cache keeps sums, no keys
    static constexpr std::int64_t features = F.n;  ///< directions of the random features

    static std::int64_t scratch_floats(std::int64_t rows, std::int64_t channels, std::int64_t /*keys*/) {
        return Workspace(rows, channels).size;
    }

    /// All heads of a chunk, whose keys were written to `cache`.
    template <class Arch, class Team, class Cache>
    static void attend(Team& team, const Heads& h, Cache& cache, float* scratch) {
        const auto& directions = RandomDirections::of(features, h.head_dim, h.channels);
        const std::int64_t each = detail::thread_floats<Linear>(h.group, h.channels, h.keys),
                           most = block_tokens(h.group);
        team.run(h.kv_heads, [&](std::int64_t head, int thread) {
            const Head<Arch> work{directions, h, cache.head(head), head, scratch + thread * each};
            for (std::int64_t token = 0; token < h.tokens;) {
                const std::int64_t at = (h.first + token) % width, end = token + std::min(h.tokens - token, width - at);
                const auto tile = cache.tile(head, (h.first + token) / width, h.first + end);
                work.add_keys(tile, at);
                for (std::int64_t count; token < end; token += count) {
                    count = std::min(end - token, most);
                    work.attend(token, count, tile);
                }
                if (tile.count == width) work.fold(tile);
            }
        });
    }

  private:
    static constexpr std::int64_t width = kv_cache::tile_keys;
    static constexpr float log2_e = attention::log2_e;
    static constexpr float least =
        0x1p-40f;  ///< added to features, whose largest is 1: some weight is left in the worst case

    struct Workspace {
        std::int64_t size = 0;
        std::int64_t packed, of_queries, products, weights, out, totals;
        Workspace(std::int64_t rows, std::int64_t channels) {
            const std::int64_t padded = padded_rows(rows);
            const auto take = [&](std::int64_t n) { return std::exchange(size, size + round_up(n, 16)); };
            packed = take(16 * std::max(channels, features));
            of_queries = take(padded * features);
            products = take(16 * width);
            weights = take(width);
            out = take(padded * channels);
            totals = take(padded);
        }
    };

    /// Work for one head, in a thread's scratch.
    template <class Arch>
    struct Head {
        const RandomDirections& directions;
        const Heads& h;
        kv_cache::RecurrentHead state;
        std::int64_t head;
        float* scratch;

        /// Features of the keys of a tile from number `begin` on: 2^(log2(e) (w · k / head_dim^(1/4) - |k|^2 / (2
        /// sqrt(head_dim))) - top).
        void add_keys(const kv_cache::Tile<float>& tile, std::int64_t begin) const {
            const Workspace w(1, tile.channels);
            float *packed = scratch + w.packed, *products = scratch + w.products;
            for (std::int64_t f = 0; f < features; f += step) {
                const std::int64_t rows = std::min(step, features - f);
                kernels::pack_queries<Arch>(directions.row(f), rows, tile.channels, root() * log2_e, packed);
                kernels::key_products<Arch, width>(packed, kernels::group_size<Arch>(rows), tile.keys, nullptr,
                                                   tile.channels, begin, tile.count, products);
                for (std::int64_t r = 0; r < rows; ++r)
                    std::copy(products + r * width + begin, products + r * width + tile.count,
                              state.latest + (f + r) * width + begin);
            }
            for (std::int64_t k = begin; k < tile.count; ++k) state.tops[k] = std::numeric_limits<float>::lowest();
            for (std::int64_t f = 0; f < features; ++f)
                for (std::int64_t k = begin; k < tile.count; ++k)
                    state.tops[k] = std::max(state.tops[k], state.latest[f * width + k]);
            for (std::int64_t f = 0; f < features; ++f) {
                float* row = state.latest + f * width;
                for (std::int64_t k = begin; k < tile.count; ++k) row[k] -= state.tops[k];
            }
            // whole vectors at once: what lies before `begin` is put back
            alignas(64) float lanes[width];
            for (std::int64_t f = 0; f < features; ++f) {
                float* row = state.latest + f * width;
                for (std::int64_t k = begin / Arch::floats * Arch::floats; k < tile.count; k += Arch::floats)
                    kernels::store<Arch>(kernels::exp2<Arch>(kernels::load<Arch>(row + k)) + kernels::vec<Arch>(least),
                                         lanes + k);
                std::copy(lanes + begin, lanes + tile.count, row + begin);
            }
            for (std::int64_t k = begin; k < tile.count; ++k) {
                float square = 0;
                for (std::int64_t c = 0; c < tile.channels; ++c)
                    square += tile.keys[c * width + k] * tile.keys[c * width + k];
                state.tops[k] -= 0.5f * root() * root() * log2_e * square;
            }
        }

        /// Results of tokens [token, token + count), which lie in `tile`.
        void attend(std::int64_t token, std::int64_t count, const kv_cache::Tile<float>& tile) const {
            const QueryBlock q = h.block(head, token, count);
            const Workspace w(q.rows, q.channels);
            float *out = scratch + w.out, *totals = scratch + w.totals;
            query_features(q, scratch + w.of_queries, scratch + w.packed, scratch + w.products);
            std::fill_n(out, padded_rows(q.rows) * q.channels, 0.0f);
            std::fill_n(totals, padded_rows(q.rows), 0.0f);
            for (std::int64_t r = 0; r < q.rows; r += step) {
                const QueryBlock rows = q.part(r, std::min(step, q.rows - r));
                const float* of_queries = scratch + w.of_queries + r * features;
                if (tile.first > 0) add_sums(rows, of_queries, out + r * q.channels, totals + r, scratch + w.products);
                add_tile(rows, of_queries, tile, out + r * q.channels, totals + r, scratch + w.packed,
                         scratch + w.products);
            }
            for (std::int64_t r = 0; r < q.rows; ++r)
                kernels::scale_row<Arch>(1.0f / totals[r], q.channels, out + r * q.channels);
            h.place(head, token, q.rows, out);
        }

        /// Adds a full tile to the sums.
        void fold(const kv_cache::Tile<float>& tile) const {
            const Workspace w(1, tile.channels);
            float *weighted = scratch + w.products, *weights = scratch + w.weights;
            float top = tile.first > 0 ? *state.top : std::numeric_limits<float>::lowest();
            const float before = top;
            for (std::int64_t k = 0; k < width; ++k) top = std::max(top, state.tops[k]);
            for (std::int64_t k = 0; k < width; ++k) weights[k] = power(state.tops[k] - top);
            float shrink[16];
            std::fill_n(shrink, 16, tile.first > 0 ? power(before - top) : 0.0f);
            if (tile.first == 0) std::fill_n(state.sums, features * tile.channels + features, 0.0f);
            *state.top = top;
            for (std::int64_t f = 0; f < features; f += step) {
                const std::int64_t rows = std::min(step, features - f);
                for (std::int64_t r = 0; r < rows; ++r) {
                    float sum = 0;
                    for (std::int64_t k = 0; k < width; ++k)
                        sum += weighted[r * width + k] = state.latest[(f + r) * width + k] * weights[k];
                    state.weights[f + r] = state.weights[f + r] * shrink[0] + sum;
                }
                // whole groups, so that no row is added to twice
                for (std::int64_t r = 0; r < rows;) {
                    const int size = rows - r >= step ? static_cast<int>(step) : 1;
                    kernels::add_values<Arch, width>(weighted + r * width, size, tile.values, tile.channels, 0, width,
                                                     shrink, state.sums + (f + r) * tile.channels);
                    r += size;
                }
            }
        }

      private:
        static constexpr std::int64_t step = kernels::outer_rows<Arch>;
        float root() const { return static_cast<float>(1 / std::sqrt(std::sqrt(static_cast<double>(h.head_dim)))); }
        static float power(float x) { return kernels::exp2<Arch>(kernels::vec<Arch>(x)).get(0); }

        /// Features [rows, features] of the queries, each row scaled so that its largest is 1: the quotient of the sums
        /// does not see the factor. Queries come scaled by 1 / sqrt(head_dim).
        void query_features(const QueryBlock& q, float* found, float* packed, float* products) const {
            const float factor = static_cast<float>(std::sqrt(std::sqrt(static_cast<double>(h.head_dim)))) * log2_e;
            for (std::int64_t at = 0; at < q.rows; at += step) {
                const std::int64_t rows = std::min(step, q.rows - at);
                kernels::pack_queries<Arch>(q.queries + at * q.channels, rows, q.channels, factor, packed);
                for (std::int64_t f = 0; f < features; f += width) {
                    kernels::key_products<Arch, width>(packed, kernels::group_size<Arch>(rows), directions.tile(f),
                                                       nullptr, q.channels, 0, width, products);
                    for (std::int64_t r = 0; r < rows; ++r)
                        std::copy_n(products + r * width, width, found + (at + r) * features + f);
                }
                for (std::int64_t r = 0; r < rows; ++r) {
                    float* row = found + (at + r) * features;
                    kernels::vec<Arch> highest(kernels::load<Arch>(row));
                    for (std::int64_t f = 0; f < features; f += Arch::floats)
                        highest = xsimd::max(highest, kernels::load<Arch>(row + f));
                    const kernels::vec<Arch> top(kernels::max_lane<Arch>(highest));
                    for (std::int64_t f = 0; f < features; f += Arch::floats)
                        kernels::store<Arch>(
                            kernels::exp2<Arch>(kernels::load<Arch>(row + f) - top) + kernels::vec<Arch>(least),
                            row + f);
                }
            }
        }
        /// Adds the sums of all full tiles before to the results of a group of rows.
        void add_sums(const QueryBlock& q, const float* of_queries, float* out, float* totals, float* weights) const {
            constexpr float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
            const int size = kernels::group_size<Arch>(q.rows);
            for (std::int64_t f = 0; f < features; f += width) {
                for (std::int64_t r = 0; r < q.rows; ++r)
                    std::copy_n(of_queries + r * features + f, width, weights + r * width);
                std::fill(weights + q.rows * width, weights + size * width, 0.0f);
                kernels::add_values<Arch, width>(weights, size, state.sums + f * h.channels, h.channels, 0, width, ones,
                                                 out);
            }
            for (std::int64_t r = 0; r < q.rows; ++r)
                for (std::int64_t f = 0; f < features; ++f)
                    totals[r] += of_queries[r * features + f] * state.weights[f];
        }
        /// Adds the keys of the rows' own tile, up to each row's, to their results.
        void add_tile(const QueryBlock& q, const float* of_queries, const kv_cache::Tile<float>& tile, float* out,
                      float* totals, float* packed, float* scores) const {
            const int size = kernels::group_size<Arch>(q.rows);
            kernels::pack_queries<Arch>(of_queries, q.rows, features, 1.0f, packed);
            kernels::key_products<Arch, width>(packed, size, state.latest, nullptr, features, 0, tile.count, scores);
            std::fill(scores + q.rows * width, scores + size * width, 0.0f);
            float shrink[16] = {};
            for (std::int64_t r = 0; r < q.rows; ++r) {
                const std::int64_t seen = std::min(tile.count, q.position(r) + 1 - tile.first);
                const bool earlier = tile.first > 0;
                float top = earlier ? *state.top : state.tops[0];
                for (std::int64_t k = 0; k < seen; ++k) top = std::max(top, state.tops[k]);
                shrink[r] = earlier ? power(*state.top - top) : 0.0f;
                totals[r] *= shrink[r];
                alignas(64) float weights[width];
                for (std::int64_t k = 0; k < width; k += Arch::floats)
                    kernels::store<Arch>(
                        kernels::exp2<Arch>(kernels::load<Arch>(state.tops + k) - kernels::vec<Arch>(top)),
                        weights + k);
                for (std::int64_t k = 0; k < seen; ++k) totals[r] += scores[r * width + k] *= weights[k];
                std::fill(scores + r * width + seen, scores + (r + 1) * width, 0.0f);
            }
            kernels::add_values<Arch, width>(scores, size, tile.values, q.channels, 0, tile.count, shrink, out);
        }
    };
};

}  // namespace qwen3vl::attention
