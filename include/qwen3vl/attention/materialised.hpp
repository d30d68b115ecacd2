#pragma once
#include <algorithm>
#include <limits>
#include <qwen3vl/attention/partial.hpp>
#include <qwen3vl/attention/row_groups.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Floats of scratch for Materialised over at most `keys` keys at once.
inline std::int64_t materialised_floats(std::int64_t rows, std::int64_t channels, std::int64_t keys) {
    const std::int64_t padded = padded_rows(rows);
    return 2 * round_up(padded * channels, 16) + 2 * round_up(rows, 16) + wide_tile_floats(channels) +
           padded * round_up(keys, kv_cache::tile_keys);
}

/// A block of queries over some of the keys, with all their scores held at once. Dense takes one query and all keys so,
/// Chunked a block of queries and one chunk of keys after another.
template <class Arch>
class Materialised {
  public:
    /// `scratch`: materialised_floats() for the block's rows and the most keys of a call.
    Materialised(const QueryBlock& q, float* scratch)
        : q_(q), padded_(padded_rows(q.rows)), groups_(q, log2_e, scratch) {
        const std::int64_t results = round_up(padded_ * q.channels, 16), rows = round_up(q.rows, 16);
        part_ = {scratch + results, scratch + 2 * results, scratch + 2 * results + rows};
        wide_ = part_.total + rows;
        scores_ = wide_ + wide_tile_floats(q.channels);
    }

    /// The sums over `keys`, which lie in scratch until the next call.
    template <class Mask, class Tiles>
    Partial over(mask::KeyRange keys, const Mask& visible, const Tiles& tiles) {
        std::int64_t met = 0;
        // f(rows, packed, size, first row, tile, scores of the group) for each tile and group
        const auto for_each = [&](auto&& f) {
            met = 0;
            for_each_tile(
                q_, visible, tiles,
                [&](const auto& stored) {
                    with_tile_for<Arch>(q_.rows, stored, wide_, [&](const auto& tile) {
                        groups_.for_each([&](const QueryBlock& rows, const float* packed, int size, std::int64_t at) {
                            f(rows, packed, size, at, tile, scores_ + (met * padded_ + at) * width);
                        });
                    });
                    ++met;
                },
                keys);
        };
        for_each([&](const QueryBlock& rows, const float* packed, int size, std::int64_t, const auto& tile, float* s) {
            score<Arch>(rows, visible, packed, size, tile, {0, tile.count}, s);
            for (int r = 0; r < size; ++r)
                std::fill(s + r * width + tile.count, s + (r + 1) * width, -std::numeric_limits<float>::infinity());
        });
        for (std::int64_t r = 0; r < q_.rows; ++r) take_exponentials(r, met);
        std::fill_n(part_.out, padded_ * q_.channels, 0.0f);
        for_each([&](const QueryBlock&, const float*, int size, std::int64_t at, const auto& tile, float* s) {
            if (tile.value_scales)
                for (int r = 0; r < size; ++r)
                    for (std::int64_t k = 0; k < width; ++k)
                        s[r * width + k] *= static_cast<float>(tile.value_scales[k]);
            constexpr float ones[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
            kernels::add_values<Arch, width>(s, size, tile.values, q_.channels, 0, tile.count, ones,
                                             part_.out + at * q_.channels, tile.next);
        });
        return part_;
    }

  private:
    static constexpr std::int64_t width = kv_cache::tile_keys;

    /// The scores of a row become 2^(score - top).
    void take_exponentials(std::int64_t r, std::int64_t met) {
        const auto for_each_vector = [&](auto&& f) {
            for (std::int64_t t = 0; t < met; ++t)
                for (std::int64_t k = 0; k < width; k += Arch::floats) f(scores_ + (t * padded_ + r) * width + k);
        };
        kernels::vec<Arch> highest(std::numeric_limits<float>::lowest()), sum(0.0f);
        for_each_vector([&](const float* s) { highest = xsimd::max(highest, kernels::load<Arch>(s)); });
        part_.top[r] = kernels::max_lane<Arch>(highest);
        const kernels::vec<Arch> top(part_.top[r]);
        for_each_vector([&](float* s) {
            const auto e = kernels::exp2<Arch>(kernels::load<Arch>(s) - top);
            sum += e;
            kernels::store<Arch>(e, s);
        });
        part_.total[r] = kernels::sum_lanes<Arch>(sum);
    }

    QueryBlock q_;
    std::int64_t padded_;
    RowGroups<Arch> groups_;
    Partial part_;
    float *wide_, *scores_;  // scores: [tiles met, padded rows, tile_keys]
};

}  // namespace qwen3vl::attention
