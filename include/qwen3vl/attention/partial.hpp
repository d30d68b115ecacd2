#pragma once
#include <algorithm>
#include <array>
#include <limits>
#include <qwen3vl/attention/query_block.hpp>
#include <qwen3vl/kernels/exponential.hpp>
#include <qwen3vl/kernels/rows.hpp>

/// Attention over part of the keys, and joining of parts. Scores count in base 2 (Dao et al., 2023, "Flash-Decoding";
/// Milakov & Gimelshein, 2018).
namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Queries are multiplied by it, so that exponentials are powers of 2.
inline constexpr float log2_e = 1.44269504f;

/// Sums of a block's rows over some keys, not yet divided: out = sum of 2^(score - top) value, total = sum of 2^(score
/// - top).
struct Partial {
    float* out = nullptr;    ///< [rows, channels]
    float* top = nullptr;    ///< [rows] the largest score; the lowest float where no key was seen
    float* total = nullptr;  ///< [rows]

    /// Floats of the three together.
    static constexpr std::int64_t floats(std::int64_t rows, std::int64_t channels) { return rows * (channels + 2); }
    /// Places a Partial in memory of floats(rows, channels) floats.
    static Partial in(float* memory, std::int64_t rows, std::int64_t channels) {
        return {memory, memory + rows * channels, memory + rows * channels + rows};
    }
    /// Resets to the sums over no keys.
    void clear(std::int64_t rows, std::int64_t channels) const {
        std::fill_n(out, rows * channels, 0.0f);
        std::fill_n(top, rows, std::numeric_limits<float>::lowest());
        std::fill_n(total, rows, 0.0f);
    }
};

/// Copies a block's sums.
inline void copy(std::int64_t rows, std::int64_t channels, const Partial& from, const Partial& to) {
    std::copy_n(from.out, rows * channels, to.out);
    std::copy_n(from.top, rows, to.top);
    std::copy_n(from.total, rows, to.total);
}

/// Joins the sums over later keys to those so far. One function for every caller, so that the compiler contracts its
/// arithmetic in one way.
template <class Arch>
[[gnu::noinline]] void merge(std::int64_t rows, std::int64_t channels, const Partial& later, const Partial& so_far) {
    for (std::int64_t r = 0; r < rows; ++r) {
        const float top = std::max(so_far.top[r], later.top[r]);
        alignas(64) std::array<float, 16> factors{so_far.top[r] - top, later.top[r] - top};
        kernels::store<Arch>(kernels::exp2<Arch>(kernels::load<Arch>(factors.data())), factors.data());
        const kernels::vec<Arch> old(factors[0]), fresh(factors[1]);
        float* out = so_far.out + r * channels;
        const float* more = later.out + r * channels;
        for (std::int64_t c = 0; c < channels; c += Arch::floats)
            kernels::store<Arch>(
                kernels::fma<Arch>(kernels::load<Arch>(more + c), fresh, kernels::load<Arch>(out + c) * old), out + c);
        so_far.total[r] = so_far.total[r] * factors[0] + later.total[r] * factors[1];
        so_far.top[r] = top;
    }
}

/// Divides: so_far.out becomes the block's result.
template <class Arch>
void finish(std::int64_t rows, std::int64_t channels, const Partial& so_far) {
    for (std::int64_t r = 0; r < rows; ++r)
        kernels::scale_row<Arch>(1.0f / so_far.total[r], channels, so_far.out + r * channels);
}

/// Segments of `length` keys, each from a multiple of it on, that hold a visible key of a block; in ascending order,
/// each once. Confined to the keys `within`, which are whole segments.
template <class Mask>
class Segments {
  public:
    /// Finds the segments of a block: those of `length` keys in which the mask shows it one.
    Segments(const QueryBlock& q, const Mask& visible, std::int64_t length, mask::KeyRange within = all_keys)
        : q_(q), visible_(visible), length_(length), within_{within.begin, std::min(within.end, q.keys)} {
        for_each([&](mask::KeyRange) { ++count_; });
    }
    /// Segments found.
    std::int64_t count() const { return count_; }
    /// f(keys) for each.
    template <class F>
    void for_each(F&& f) const {
        std::int64_t next = 0;
        visible_.for_each_range(q_.first, q_.last(), within_, [&](mask::KeyRange range) {
            const std::int64_t end = ceil_div(range.end, length_);
            for (next = std::max(next, range.begin / length_); next < end; ++next)
                f(mask::KeyRange{next * length_, (next + 1) * length_});
        });
    }
    /// Keys of segment `i` of count().
    mask::KeyRange operator[](std::int64_t i) const {
        mask::KeyRange found;
        for_each([&](mask::KeyRange keys) {
            if (i-- == 0) found = keys;
        });
        return found;
    }

  private:
    QueryBlock q_;
    const Mask& visible_;
    std::int64_t length_, count_ = 0;
    mask::KeyRange within_;
};

}  // namespace qwen3vl::attention
