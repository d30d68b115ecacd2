#pragma once
#include <qwen3vl/kernels/amx_tiles.hpp>
#include <qwen3vl/kernels/pair_tile.hpp>
#include <qwen3vl/weights/float_panels.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// bfloat16 weights: as floats where the Arch has no dot products of bfloat16; otherwise pairs of columns at a time,
/// activations rounded to bfloat16.
struct Bf16Panels : FloatPanels<bf16, DType::bf16> {
    using Floats = FloatPanels<bf16, DType::bf16>;

    template <class Arch>
    static constexpr std::int64_t activation_bytes(std::int64_t rows, std::int64_t cols) {
        if constexpr (Arch::dot_bf16)
            return rows * row_bytes<Arch>(cols);
        else
            return Floats::activation_bytes<Arch>(rows, cols);
    }

    template <class Arch>
    static void pack_activations(const PackedActivations& x, std::int64_t r, std::int64_t first, std::int64_t count,
                                 const float* values) {
        if constexpr (!Arch::dot_bf16) {
            Floats::pack_activations<Arch>(x, r, first, count, values);
        } else {
            const RowTile tile = Tiles<Arch>::at(r, x.rows);
            std::byte* out = x.data + tile.begin * row_bytes<Arch>(x.cols) + (r - tile.begin) * step_bytes<Arch>;
            constexpr std::int64_t step = step_bytes<Arch> / 2;
            for (std::int64_t c = 0; c < count; c += task_rows) {
                alignas(64) bf16 rounded[task_rows];
                const std::int64_t n = std::min(task_rows, count - c);
                kernels::for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t lanes) {
                    kernels::store<Arch>(kernels::load<Arch>(values + c + i, lanes), rounded + i, lanes);
                });
                std::fill(rounded + n, rounded + round_up(n, step), bf16{});
                for (std::int64_t i = 0; i < n; i += step)
                    std::memcpy(out + (first + c + i) / step * tile.height * step_bytes<Arch>,
                                static_cast<const void*>(rounded + i), step_bytes<Arch>);
            }
        }
    }

    /// Multiplies as FloatPanels::gemm_panel() does.
    template <class Arch>
    static void gemm_panel(const WeightMatrix& w, std::int64_t first, std::int64_t count, const PackedActivations& x,
                           std::int64_t begin, std::int64_t rows, float* out, std::int64_t out_stride) {
        if constexpr (!Arch::dot_bf16) {
            Floats::gemm_panel<Arch>(w, first, count, x, begin, rows, out, out_stride);
        } else {
            const std::int64_t stride = panel_bytes<Arch>(w.cols()), cols = input_cols<Arch>(w.cols());
            const auto at = [&](std::int64_t p, std::int64_t k) {
                return w.data() + (first + p) / panel_rows<Arch> * stride + k * 2 * panel_rows<Arch>;
            };
            const bool tiles = Tiles<Arch>::at(begin, x.rows).height > 1;
            if constexpr (Arch::tiles)
                if (!tiles) {
                    for (std::int64_t p = 0; p < count; p += panel_rows<Arch>)
                        for (std::int64_t r = 0; r < rows; ++r)
                            kernels::amx_bf16_row<Arch>(cols, x.data + (begin + r) * row_bytes<Arch>(x.cols), at(p, 0),
                                                        out + r * out_stride + p);
                    return;
                }
            auto multiply = product<Arch>(x, begin, rows, out, out_stride);
            if (!tiles) {  // one row reads a panel from end to end
                kernels::GradualAsk nothing;
                for (std::int64_t p = 0; p < count; p += panel_rows<Arch>)
                    for (std::int64_t k = 0; k < cols; k += block_columns<Arch>)
                        multiply(p, k, std::min(block_columns<Arch>, cols - k), at(p, k), nothing);
                return;
            }
            for_each_block<Arch>(count, cols, block_columns<Arch>,
                                 ceil_div(rows, Arch::tiles ? 32 : kernels::outer_rows<Arch>), at,
                                 [&](std::int64_t p, std::int64_t k, std::int64_t depth, kernels::GradualAsk& ask) {
                                     multiply(p, k, depth, at(p, k), ask);
                                 });
        }
    }

  private:
    /// Columns of a block. With tiles it, the rows of x that pass it and their sums share the first-level cache.
    template <class Arch>
    static constexpr std::int64_t block_columns = (Arch::tiles ? 1 : 2) * float_block;
    template <class Arch>
    using Tiles = std::conditional_t<Arch::tiles, AmxRowPairs,
                                     RowTiles<kernels::outer_rows<Arch>, kernels::outer_rows<Arch> / 3>>;
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

    /// Callable f(p, k, depth, weights, ask) that adds rows [begin, begin + rows) of x times columns [k, k + depth) of
    /// the panel of rows [p, p + panel_rows) to out. Calls ask() between tiles.
    template <class Arch>
    static auto product(const PackedActivations& x, std::int64_t begin, std::int64_t rows, float* out,
                        std::int64_t out_stride) {
        if constexpr (Arch::tiles)
            return [=, registers = kernels::AmxTiles(16, 64)](std::int64_t p, std::int64_t k, std::int64_t depth,
                                                              const std::byte* w, kernels::GradualAsk& ask) mutable {
                Tiles<Arch>::for_each(begin, begin + rows, x.rows, [&](std::int64_t r, std::int64_t height) {
                    ask();
                    registers.set_rows(static_cast<int>(std::min<std::int64_t>(16, height)));
                    const std::byte* in = x.data + r * row_bytes<Arch>(x.cols) + k * 2 * height;
                    float* to = out + (r - begin) * out_stride + p;
                    if (height == 32)
                        kernels::amx_bf16_tile<Arch, true>(depth, height, in, w, k == 0, to, out_stride);
                    else
                        kernels::amx_bf16_tile<Arch, false>(depth, height, in, w, k == 0, to, out_stride);
                });
            };
        else
            return
                [=](std::int64_t p, std::int64_t k, std::int64_t depth, const std::byte* w, kernels::GradualAsk& ask) {
                    Tiles<Arch>::for_each(begin, begin + rows, x.rows, [&](std::int64_t r, auto height) {
                        ask();
                        kernels::pair_tile<Arch, height(), panel_vectors<Arch>>(
                            depth / 2, x.data + r * row_bytes<Arch>(x.cols) + k * 2 * height(), w, k == 0,
                            out + (r - begin) * out_stride + p, out_stride);
                    });
                };
    }
};

}  // namespace qwen3vl::weights
