#pragma once
#include <qwen3vl/kernels/amx_tiles.hpp>
#include <qwen3vl/kernels/pair_tile.hpp>
#include <qwen3vl/weights/float_panels.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// bfloat16 weights: as floats where the Arch has no dot products of bfloat16; otherwise pairs of columns at a time, activations rounded to bfloat16.
struct Bf16Panels : FloatPanels<bf16, DType::bf16> {
    using Floats = FloatPanels<bf16, DType::bf16>;

    template <class Arch>
    static constexpr std::int64_t input_bytes(std::int64_t rows, std::int64_t cols) {
        if constexpr (Arch::dot_bf16)
            return rows * row_bytes<Arch>(cols);
        else
            return Floats::input_bytes<Arch>(rows, cols);
    }

    template <class Arch>
    static void encode(const Input& x, std::int64_t r, std::int64_t first, std::int64_t count, const float* values) {
        if constexpr (!Arch::dot_bf16) {
            Floats::encode<Arch>(x, r, first, count, values);
        } else {
            const RowTile tile = Tiles<Arch>::at(r, x.rows);
            std::byte* out = x.data + tile.begin * row_bytes<Arch>(x.cols) + (r - tile.begin) * step_bytes<Arch>;
            constexpr std::int64_t step = step_bytes<Arch> / 2;
            for (std::int64_t c = 0; c < count; c += task_rows) {
                alignas(64) bf16 rounded[task_rows];
                const std::int64_t n = std::min(task_rows, count - c);
                kernels::for_each_vector<Arch>(
                    n, [&](std::int64_t i, std::int64_t lanes) { kernels::store<Arch>(kernels::load<Arch>(values + c + i, lanes), rounded + i, lanes); });
                std::fill(rounded + n, rounded + round_up(n, step), bf16{});
                for (std::int64_t i = 0; i < n; i += step)
                    std::memcpy(out + (first + c + i) / step * tile.height * step_bytes<Arch>, static_cast<const void*>(rounded + i), step_bytes<Arch>);
            }
        }
    }

    /// As FloatPanels::panel.
    template <class Arch>
    static void panel(const WeightMatrix& w, std::int64_t first, std::int64_t count, const Input& x, std::int64_t begin, std::int64_t rows, float* out,
                      std::int64_t out_stride) {
        if constexpr (!Arch::dot_bf16) {
            Floats::panel<Arch>(w, first, count, x, begin, rows, out, out_stride);
        } else {
            constexpr int width = Arch::floats;
            const std::int64_t panels = ceil_div(count, width), stride = panel_bytes<Arch>(w.cols()), cols = input_cols<Arch>(w.cols());
            const std::byte* base = w.data() + first / width * stride;
            if constexpr (Arch::tiles) {
                kernels::AmxTiles registers(16, 64);
                for_blocks<2>(cols, panels, [&]<int NV>(std::int64_t k, std::int64_t depth, std::int64_t p, std::integral_constant<int, NV>) {
                    const std::byte* from = base + p * stride + k * 2 * width;
                    Tiles<Arch>::for_each(begin, begin + rows, [&](std::int64_t r, std::int64_t height, auto tiles) {
                        registers.set_rows(static_cast<int>(height));
                        const std::byte* in = x.data + r * row_bytes<Arch>(x.cols) + k * 2 * height;
                        kernels::amx_bf16_tile<Arch, tiles(), NV>(depth, height, in, in + 16 * row_bytes<Arch>(x.cols), from, from + (NV - 1) * stride, k == 0,
                                                                  out + (r - begin) * out_stride + p * width, out_stride);
                    });
                });
            } else if (Tiles<Arch>::at(begin, x.rows).height > 1) {
                for_blocks<2>(cols, panels, [&]<int NV>(std::int64_t k, std::int64_t depth, std::int64_t p, std::integral_constant<int, NV>) {
                    Tiles<Arch>::for_each(begin, begin + rows, x.rows, [&](std::int64_t r, auto height) {
                        kernels::pair_tile<Arch, height(), NV>(depth / 2, x.data + r * row_bytes<Arch>(x.cols) + k * 2 * height(),
                                                               base + p * stride + k * 2 * width, stride, k == 0, out + (r - begin) * out_stride + p * width,
                                                               out_stride);
                    });
                });
            } else {
                for (std::int64_t r = begin; r < begin + rows; ++r)
                    for_blocks<8>(cols, panels, [&]<int NV>(std::int64_t k, std::int64_t depth, std::int64_t p, std::integral_constant<int, NV>) {
                        kernels::pair_tile<Arch, 1, NV>(depth / 2, x.data + r * row_bytes<Arch>(x.cols) + k * 2, base + p * stride + k * 2 * width, stride,
                                                        k == 0, out + (r - begin) * out_stride + p * width, out_stride);
                    });
            }
        }
    }

  private:
    template <class Arch>
    using Tiles = std::conditional_t<Arch::tiles, AmxRowTiles, RowTiles<kernels::outer_rows<Arch>, kernels::outer_rows<Arch> / 3>>;
    /// Bytes of a row of x that lie together in its tile.
    template <class Arch>
    static constexpr std::int64_t step_bytes = Arch::tiles ? 64 : 4;
    template <class Arch>
    static constexpr std::int64_t input_cols(std::int64_t cols) {
        return round_up(cols, step_bytes<Arch> / 2);
    }
    template <class Arch>
    static constexpr std::int64_t row_bytes(std::int64_t cols) {
        return 2 * input_cols<Arch>(cols);
    }

    /// f(k, depth, p, std::integral_constant<int, NV>) for every block of columns and, within it, N panels at a time, then single ones.
    template <int N, class F>
    static void for_blocks(std::int64_t cols, std::int64_t panels, F&& f) {
        constexpr std::int64_t block = 2 * float_block;
        for (std::int64_t k = 0; k < cols; k += block) {
            const std::int64_t depth = std::min(block, cols - k);
            std::int64_t p = 0;
            for (; p + N <= panels; p += N) f(k, depth, p, std::integral_constant<int, N>{});
            for (; p < panels; ++p) f(k, depth, p, std::integral_constant<int, 1>{});
        }
    }
};

}  // namespace qwen3vl::weights
