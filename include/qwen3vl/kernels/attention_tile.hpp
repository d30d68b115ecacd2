#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <qwen3vl/kernels/exponential.hpp>
#include <qwen3vl/kernels/outer_product.hpp>
#include <type_traits>

/// Products of a group of query rows with a tile of keys and values. Keys lie [channels, Keys], values [Keys,
/// channels], so that both products are sums of outer products. Every element of a result is one chain of
/// multiply-adds, whose bits depend on neither the group's size nor the rows beside it.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// Most rows for which 16- and 8-bit elements are converted in registers; for more, a tile is worth converting once.
inline constexpr int few_rows = 4;

/// Rows that a group of `rows` is computed as: 1, 2, 4, 8 or a register tile's, so that few kernels are compiled.
/// Results of the rows added are finite and ignored.
template <class Arch>
constexpr int group_size(std::int64_t rows) {
    for (const int n : {1, 2, 4, 8})
        if (rows <= n && n < outer_rows<Arch>) return n;
    return outer_rows<Arch>;
}
/// Rows that group_size() adds at most.
inline constexpr int added_rows = 3;

namespace detail {
/// f(integral_constant) of a group size.
template <class Arch, int Most, class F>
void with_group_size(int rows, F&& f) {
    switch (rows) {
        case 1: return f(std::integral_constant<int, 1>{});
        case 2: return f(std::integral_constant<int, 2>{});
        case 4: return f(std::integral_constant<int, 4>{});
        default:
            if constexpr (Most > few_rows) {
                if constexpr (outer_rows < Arch >> 8)
                    if (rows == 8) return f(std::integral_constant<int, 8>{});
                f(std::integral_constant<int, outer_rows<Arch>>{});
            }
    }
}

/// Group sizes that exist for an element type.
template <class Arch, class Element>
inline constexpr int most_rows = std::is_same_v<Element, float> ? outer_rows<Arch> : few_rows;

/// Vectors beside MR rows of sums. For one or two rows, more would hide the latency of a multiply-add; but those rows
/// wait for memory, and one prefetched line a step overlaps best.
template <class Arch, int MR>
inline constexpr int group_vectors = MR > 2 || Arch::floats == 16 ? outer_vectors : 4;

/// Callable that prefetches, in step i of a product, as many elements from `ahead` on as the step reads: a few rows are
/// soon done with a tile, which comes from memory.
template <class Arch, int MR, int NV, class Element>
auto ask_for_tile([[maybe_unused]] const Element* ahead) {
    return [=]([[maybe_unused]] std::int64_t i) {
        if constexpr (MR <= few_rows) {
            constexpr int bytes = NV * Arch::floats * static_cast<int>(sizeof(Element));
            QWEN3VL_UNROLL
            for (int line = 0; line < bytes; line += 64)
                _mm_prefetch(reinterpret_cast<const char*>(ahead) + i * bytes + line, _MM_HINT_T1);
        }
    };
}
}  // namespace detail

namespace detail {
/// The largest lane of each of four rows [4, floats], without a branch.
template <class Arch>
inline void max_of_rows(const float* rows, float* largest) {
    __m128 m[4];
    QWEN3VL_UNROLL
    for (int r = 0; r < 4; ++r) {
        m[r] = _mm_load_ps(rows + r * Arch::floats);
        QWEN3VL_UNROLL
        for (int i = 4; i < Arch::floats; i += 4) m[r] = _mm_max_ps(m[r], _mm_load_ps(rows + r * Arch::floats + i));
    }
    _MM_TRANSPOSE4_PS(m[0], m[1], m[2], m[3]);
    _mm_store_ps(largest, _mm_max_ps(_mm_max_ps(m[0], m[1]), _mm_max_ps(m[2], m[3])));
}
}  // namespace detail

/// packed [channels, size] = factor * rows [rows, channels], zeros in the rows that group_size added.
template <class Arch>
void pack_queries(const float* rows, std::int64_t count, std::int64_t channels, float factor, float* packed) {
    const int size = group_size<Arch>(count);
    for (std::int64_t c = 0; c < channels; ++c, packed += size) {
        for (std::int64_t r = 0; r < count; ++r) packed[r] = factor * rows[r * channels + c];
        std::fill(packed + count, packed + size, 0.0f);
    }
}

/// scores [size, Keys]: the products of packed queries and the keys [begin, end) of a tile, each times its scale where
/// there are scales. Neighbours of the range may be written too.
template <class Arch, int Keys, class Element>
void key_products(const float* packed, int size, const Element* keys, const bf16* scales, std::int64_t channels,
                  std::int64_t begin, std::int64_t end, float* scores) {
    detail::with_group_size<Arch, detail::most_rows<Arch, Element>>(size, [&](auto rows) {
        constexpr int MR = rows(), NV = detail::group_vectors<Arch, MR>, width = NV * Arch::floats;
        for (std::int64_t j = begin / width * width; j < end; j += width)
            outer_sums<Arch, MR, NV, MR, 1>(
                packed, keys + j, Keys, channels, detail::ask_for_tile<Arch, MR, NV>(keys + (Keys + j) * channels),
                [&](int r, int v, vec<Arch> sum) {
                    const std::int64_t at = j + v * Arch::floats;
                    store<Arch>(scales ? sum * load<Arch>(scales + at) : sum, scores + r * Keys + at);
                });
    });
}

/// out [size, channels] = out * shrink [size] + weights [size, Keys] · values, over the keys [begin, end) of a tile.
/// `next`: memory read after the values, to be prefetched; null: it lies behind them.
template <class Arch, int Keys, class Element>
void add_values(const float* weights, int size, const Element* values, std::int64_t channels, std::int64_t begin,
                std::int64_t end, const float* shrink, float* out, const Element* next = nullptr) {
    if (!next) next = values + channels * Keys;
    detail::with_group_size<Arch, detail::most_rows<Arch, Element>>(size, [&](auto rows) {
        constexpr int MR = rows(), NV = detail::group_vectors<Arch, MR>;
        const auto columns = [&]<int N>(std::int64_t c) {
            outer_sums<Arch, MR, N, 1, Keys>(weights + begin, values + begin * channels + c, channels, end - begin,
                                             detail::ask_for_tile<Arch, MR, N>(next + c * Keys),
                                             [&](int r, int v, vec<Arch> sum) {
                                                 float* at = out + r * channels + c + v * Arch::floats;
                                                 store<Arch>(fma<Arch>(load<Arch>(at), vec<Arch>(shrink[r]), sum), at);
                                             });
        };
        std::int64_t c = 0;
        for (; c + NV * Arch::floats <= channels; c += NV * Arch::floats) columns.template operator()<NV>(c);
        for (; c < channels; c += Arch::floats) columns.template operator()<1>(c);
    });
}

/// One step of an online softmax in base 2 over the keys [begin, end) of a tile. scores [size, Keys] become 2^(score -
/// top), `top` [size] the largest score so far, and `sums` [size, floats] the sum of each row's results, by lanes.
/// `shrink` [size] receives the factors of earlier results. Scales of values, where there are some, are in the results
/// and not in the sums. Not inlined, so that the compiler contracts its arithmetic in one way for all.
template <class Arch, int Keys>
[[gnu::noinline]] void softmax_step(float* scores, int size, std::int64_t begin, std::int64_t end, const bf16* scales,
                                    float* top, float* shrink, float* sums) {
    constexpr std::int64_t width = Arch::floats;
    constexpr int most = 16;  // rows of the tallest register tile, in whole vectors
    const std::int64_t from = begin / width * width, to = (end + width - 1) / width * width;
    alignas(64) float highest[std::size_t{most * width}], fresh_top[most] = {}, factors[most] = {};
    for (int r = 0; r < size; ++r) {
        float* row = scores + r * Keys;
        std::fill(row + from, row + begin, -std::numeric_limits<float>::infinity());
        std::fill(row + end, row + to, -std::numeric_limits<float>::infinity());
        vec<Arch> m(top[r]);
        for (std::int64_t j = from; j < to; j += width) m = xsimd::max(m, load<Arch>(row + j));
        store<Arch>(m, highest + r * width);
    }
    for (int r = size; r % 4; ++r) store<Arch>(vec<Arch>(0.0f), highest + r * width);
    for (int r = 0; r < size; r += 4) detail::max_of_rows<Arch>(highest + r * width, fresh_top + r);
    std::copy_n(top, size, factors);
    for (int r = 0; r < size; r += Arch::floats)
        store<Arch>(exp2<Arch>(load<Arch>(factors + r) - load<Arch>(fresh_top + r)), factors + r);
    std::copy_n(factors, size, shrink);
    std::copy_n(fresh_top, size, top);
    for (int r = 0; r < size; ++r) {
        float* row = scores + r * Keys;
        const vec<Arch> shift(fresh_top[r]);
        vec<Arch> sum(0.0f);
        for (std::int64_t j = from; j < to; j += width) {
            const auto e = exp2<Arch>(load<Arch>(row + j) - shift);
            sum += e;
            store<Arch>(scales ? e * load<Arch>(scales + j) : e, row + j);
        }
        store<Arch>(fma<Arch>(load<Arch>(sums + r * width), vec<Arch>(factors[r]), sum), sums + r * width);
    }
}

}  // namespace qwen3vl::kernels
