#pragma once
#include <algorithm>
#include <qwen3vl/kernels/amx_tiles.hpp>
#include <qwen3vl/kernels/outer_product.hpp>
#include <qwen3vl/weights/blocks.hpp>
#include <qwen3vl/weights/integer_packing.hpp>
#include <type_traits>

/// Integer formats in panels. Activations are quantised row by row to signed bytes with a scale for each flush.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

template <class Format>
struct IntegerPanels : IntegerPacking<Format> {
    using Layout = IntegerLayout<Format>;
    using Layout::activation_group, Layout::block_columns, Layout::load_columns, Layout::row_scale;
    using typename Layout::Codes;
    using typename Layout::F;
    using typename Layout::Kind;
    template <class Arch>
    using Dot = kernels::IntegerDot<Arch, Kind::narrow>;

    // Activations lie row by row of a register tile, codes, then scales, then starts of all its flushes
    template <class Arch>
    using Tiles = std::conditional_t<Arch::tiles, AmxRowTiles,
                                     RowTiles<kernels::outer_rows<Arch>, kernels::outer_rows<Arch> / 3>>;
    template <class Arch>
    static constexpr std::int64_t flush_columns =
        Dot<Arch>::flush_columns ? Dot<Arch>::flush_columns : activation_group;
    /// Groups of four columns, those of the padding included.
    template <class Arch>
    static constexpr std::int64_t quads(std::int64_t cols) {
        return Layout::template padded<Arch>(cols) / 4;
    }
    /// Offset of the first step of quad q of a row in the codes of a tile of `height` rows.
    template <class Arch>
    static constexpr std::int64_t quad_at(std::int64_t q, std::int64_t lane, std::int64_t height) {
        return Arch::tiles ? (q / 16 * height + lane) * 64 + q % 16 * 4 : (q * Dot<Arch>::steps * height + lane) * 4;
    }
    template <class Arch>
    static constexpr std::int64_t input_row_bytes(std::int64_t cols) {
        return quads<Arch>(cols) * Dot<Arch>::steps * 4 + ceil_div(cols, flush_columns<Arch>) * 8;
    }
    template <class Arch>
    static constexpr std::int64_t activation_bytes(std::int64_t rows, std::int64_t cols) {
        return rows * input_row_bytes<Arch>(cols);
    }

    /// Quantises columns [first, first + count) of row r; first is a multiple of task_rows, and so is count unless the
    /// row ends there.
    template <class Arch>
    static void pack_activations(const PackedActivations& x, std::int64_t r, std::int64_t first, std::int64_t count,
                                 const float* values) {
        const auto tile = Tiles<Arch>::at(r, x.rows);
        const InputTile<Arch> out(x, tile.begin, tile.height);
        const std::int64_t h = tile.height, lane = r - tile.begin;
        static constexpr std::int8_t zeros[4] = {};
        for (std::int64_t c = 0; c < count; c += activation_group) {
            const std::int64_t n = std::min(activation_group, count - c);
            alignas(64) std::int8_t codes[activation_group];
            std::int32_t sums[activation_group / flush_columns<Arch>];
            const float scale = quantise<Arch>(values + c, n, codes, sums);
            const std::int64_t end = first + c + n == x.cols ? quads<Arch>(x.cols) - (first + c) / 4 : n / 4;
            for (std::int64_t q = 0; q < end; ++q)
                Dot<Arch>::put(q * 4 < n ? codes + 4 * q : zeros,
                               out.codes + quad_at<Arch>((first + c) / 4 + q, lane, h), h * 4);
            for (std::int64_t f = 0; f * flush_columns<Arch> < n; ++f) {
                const std::int64_t at = ((first + c) / flush_columns<Arch> + f) * h + lane;
                out.scales[at] = scale * F::x_unit;
                if constexpr (Kind::minimum)
                    out.starts[at] = scale * static_cast<float>(sums[f]);
                else  // unsigned: what is no number gives sums of any size
                    out.starts[at] = static_cast<std::int32_t>(static_cast<std::uint32_t>(-F::zero) *
                                                               static_cast<std::uint32_t>(sums[f]));
            }
        }
    }

    /// Multiplies as FloatPanels::gemm_panel() does.
    template <class Arch>
    static void gemm_panel(const WeightMatrix& w, std::int64_t first, std::int64_t count, const PackedActivations& x,
                           std::int64_t begin, std::int64_t rows, float* out, std::int64_t out_stride) {
        const std::int64_t cols = w.cols();
        const auto at = [&, stride = Layout::template panel_bytes<Arch>(cols)](std::int64_t p) {
            return w.data() + (first + p) / panel_rows<Arch> * stride;
        };
        if (Tiles<Arch>::at(begin, x.rows).height == 1) {
            for (std::int64_t p = 0; p < count; p += panel_rows<Arch>)
                for (std::int64_t r = 0; r < rows; ++r)
                    stream<Arch>(at(p), {x, begin + r, 1}, cols, out + r * out_stride + p);
            return;
        }
        constexpr int vectors = kernels::outer_vectors, width = vectors * Arch::floats;
        auto multiply = product<Arch>(x, begin, rows, out, out_stride);
        alignas(64) std::byte codes[block_columns / 4 * Dot<Arch>::steps * 4 * width];
        alignas(64) float scales[block_columns / activation_group * width],
            minima[block_columns / activation_group * width];
        const auto block_at = [&](std::int64_t p, std::int64_t k) {
            return at(p) + Layout::template block_at<Arch>(k);
        };
        constexpr int halves = panel_vectors<Arch> / vectors;
        for_each_block<Arch>(count, cols, block_columns,
                             halves * ceil_div(rows, Arch::tiles ? kernels::amx_rows : kernels::outer_rows<Arch>),
                             block_at,
                             [&](std::int64_t p, std::int64_t k, std::int64_t depth, kernels::GradualAsk& ask) {
                                 const std::byte* block = block_at(p, k);
                                 for (std::int64_t row = 0; row < panel_rows<Arch>; row += width) {
                                     if constexpr (!row_scale)
                                         expand_scales<Arch>(at(p), block + Layout::template code_bytes<Arch>(depth),
                                                             ceil_div(depth, activation_group), row, scales, minima);
                                     multiply(p + row, k, shape<Arch>(depth),
                                              expand_codes<Arch>(block + 4 * row, depth, codes), scales, minima, ask);
                                 }
                             });
        if constexpr (row_scale)
            for (std::int64_t p = 0; p < count; p += Arch::floats) {
                const auto scale = kernels::load<Arch>(reinterpret_cast<const float*>(at(p)) + p % panel_rows<Arch>);
                for (std::int64_t r = 0; r < rows; ++r) {
                    float* to = out + r * out_stride + p;
                    kernels::store<Arch>(kernels::load<Arch>(to) * scale, to);
                }
            }
    }

  private:
    static constexpr int amx_step =
        activation_group < 64 ? static_cast<int>(activation_group) : 64;  ///< columns of a step of AMX tiles

    /// Pointers to the parts of a register tile of activations.
    template <class Arch>
    struct InputTile {
        std::byte* codes;
        float* scales;
        typename Kind::Start* starts;
        InputTile(const PackedActivations& x, std::int64_t begin, std::int64_t height)
            : codes(x.data + begin * input_row_bytes<Arch>(x.cols)) {
            scales = reinterpret_cast<float*>(codes + height * quads<Arch>(x.cols) * Dot<Arch>::steps * 4);
            starts = reinterpret_cast<typename Kind::Start*>(scales + height * ceil_div(x.cols, flush_columns<Arch>));
        }
    };

    template <class Arch>
    static constexpr kernels::IntegerBlock shape(std::int64_t depth) {
        return {round_up(depth, Arch::tiles ? amx_step : load_columns) / 4, flush_columns<Arch> / 4,
                activation_group / flush_columns<Arch>};
    }
    /// Callable that adds rows [begin, begin + rows) of x times a block of outer_vectors vectors of weight rows, from
    /// row p and column k on, to out. Calls ask() between tiles.
    template <class Arch>
    static auto product(const PackedActivations& x, std::int64_t begin, std::int64_t rows, float* out,
                        std::int64_t out_stride) {
        if constexpr (Arch::tiles)
            return [=, registers = kernels::AmxTiles(16, amx_step)](
                       std::int64_t p, std::int64_t k, const kernels::IntegerBlock& block, const std::byte* codes,
                       const float* scales, const float* minima, kernels::GradualAsk& ask) mutable {
                for (std::int64_t r = begin; r < begin + rows; r += kernels::amx_rows) {
                    ask();
                    const std::int64_t height = Tiles<Arch>::at(r, x.rows).height,
                                       flush = k / flush_columns<Arch> * height;
                    const InputTile<Arch> in(x, r, height);
                    registers.set_rows(static_cast<int>(height));
                    kernels::amx_integer_tile<Arch, Kind>(
                        block, amx_step, height, {in.codes + k * height, in.scales + flush, in.starts + flush}, codes,
                        scales, minima, k == 0, out + (r - begin) * out_stride + p, out_stride);
                }
            };
        else
            return [=](std::int64_t p, std::int64_t k, const kernels::IntegerBlock& block, const std::byte* codes,
                       const float* scales, const float* minima, kernels::GradualAsk& ask) {
                Tiles<Arch>::for_each(begin, begin + rows, x.rows, [&](std::int64_t r, auto height) {
                    ask();
                    const InputTile<Arch> in(x, r, height());
                    const std::int64_t flush = k / flush_columns<Arch> * height();
                    kernels::integer_tile<Arch, Kind, height(), kernels::outer_vectors>(
                        block, in.codes + k * height() * Dot<Arch>::steps, in.scales + flush, in.starts + flush, codes,
                        scales, minima, k == 0, out + (r - begin) * out_stride + p, out_stride);
                });
            };
    }

    /// n numbers to signed bytes, zeros up to the activation group's end, and the sums of each flush's; returns the
    /// scale.
    template <class Arch>
    static float quantise(const float* x, std::int64_t n, std::int8_t* codes, std::int32_t* sums) {
        kernels::vec<Arch> top(0.0f);
        kernels::for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) {
            top = xsimd::max(top, xsimd::abs(kernels::load<Arch>(x + i, count)));
        });
        const float largest = kernels::max_lane<Arch>(top);
        const kernels::vec<Arch> inverse(largest > 0.0f ? 127.0f / largest : 0.0f);
        for (std::int64_t f = 0; f < activation_group; f += flush_columns<Arch>) {
            auto sum = kernels::isa::set_int(Arch{}, 0);
            for (std::int64_t i = f; i < f + flush_columns<Arch>; i += Arch::floats) {
                const std::int64_t count = std::clamp<std::int64_t>(n - i, 0, Arch::floats);
                const auto v = count > 0 ? kernels::load<Arch>(x + i, count) * inverse : kernels::vec<Arch>(0.0f);
                const auto whole = kernels::isa::float_to_int(Arch{}, v);
                kernels::isa::store_low_bytes(Arch{}, whole, codes + i);
                sum = kernels::isa::add_int32(Arch{}, sum, whole);
            }
            sums[f / flush_columns<Arch>] = kernels::isa::sum_int32(Arch{}, sum);
        }
        return largest / 127.0f;
    }

    /// Scales of a block as float32 [groups][outer_vectors], for the rows from `row` on.
    template <class Arch>
    static void expand_scales(const std::byte* panel, const std::byte* at, std::int64_t groups, std::int64_t row,
                              float* scales, [[maybe_unused]] float* minima) {
        for (std::int64_t g = 0; g < groups; ++g)
            for (int v = 0; v < kernels::outer_vectors; ++v, scales += Arch::floats, minima += Arch::floats) {
                kernels::vec<Arch> minimum;
                kernels::store<Arch>(
                    Layout::template group_scale<Arch>(panel, at + g * Layout::template group_bytes<Arch>,
                                                       row + v * Arch::floats, minimum),
                    scales);
                if constexpr (Kind::minimum) kernels::store<Arch>(minimum, minima);
            }
    }

    /// A block's codes from a row on, as IntegerDot::prepare [quads][steps][outer_vectors]: where they lie, or in
    /// `scratch`.
    template <class Arch>
    static const std::byte* expand_codes(const std::byte* at, std::int64_t depth, std::byte* scratch) {
        constexpr std::int64_t vectors = kernels::outer_vectors, bytes = Layout::template vector_bytes<Arch>;
        if constexpr (Codes::quads == 1 && Arch::dot_int8 && vectors == panel_vectors<Arch>) return at;
        constexpr std::int64_t expanded = Codes::quads * Dot<Arch>::steps * vectors * bytes;
        std::byte* out = scratch;
        for (std::int64_t n = Layout::template padded<Arch>(depth) / load_columns; n > 0;
             --n, at += Layout::template step_bytes<Arch>, out += expanded)
            for (int v = 0; v < vectors; ++v) {
                kernels::ivec<Arch> quad[Codes::quads];
                Codes::template expand<Arch>(kernels::isa::load_bytes(Arch{}, at + v * bytes), quad);
                for (int i = 0; i < Codes::quads; ++i) {
                    kernels::ivec<Arch> w[Dot<Arch>::steps];
                    Dot<Arch>::prepare(quad[i], w);
                    for (int s = 0; s < Dot<Arch>::steps; ++s)
                        kernels::isa::store_bytes(Arch{}, w[s],
                                                  out + ((i * Dot<Arch>::steps + s) * vectors + v) * bytes);
                }
            }
        return scratch;
    }

    /// Multiplies one row of x with a panel, read where it lies; sums in the same order as integer_tile's.
    template <class Arch>
    static void stream(const std::byte* panel, const InputTile<Arch>& x, std::int64_t cols, float* out) {
        using Dot = IntegerPanels::Dot<Arch>;
        constexpr int vectors = panel_vectors<Arch>,
                      chains = Dot::flush_columns == 0 ? Codes::quads : 1;  // sums of 16 bits are better not added
        constexpr std::int64_t bytes = Layout::template vector_bytes<Arch>;
        kernels::vec<Arch> total[std::size_t{vectors}];
        QWEN3VL_UNROLL
        for (int v = 0; v < vectors; ++v) total[v] = kernels::vec<Arch>(0.0f);
        const std::byte* in = x.codes;
        const float* scale = x.scales;
        const auto* start = x.starts;
        for (std::int64_t k = 0; k < cols; k += block_columns) {
            const std::int64_t depth = std::min(block_columns, cols - k);
            const std::byte* at = panel + Layout::template block_at<Arch>(k);
            const std::byte* scales = at + Layout::template code_bytes<Arch>(depth);
            for (std::int64_t f = 0; f < depth; f += flush_columns<Arch>, ++scale, ++start) {
                kernels::ivec<Arch> sum[std::size_t{vectors}][std::size_t{chains}];
                QWEN3VL_UNROLL
                for (int v = 0; v < vectors; ++v) {
                    QWEN3VL_UNROLL
                    for (int c = 0; c < chains; ++c)
                        sum[v][c] = c == 0 ? kernels::start_sum<Arch, Kind>(*start) : kernels::isa::set_int(Arch{}, 0);
                }
                for (std::int64_t n = std::min(flush_columns<Arch>, round_up(depth - f, load_columns)); n > 0;
                     n -= load_columns, at += vectors * bytes) {
                    kernels::ask_ahead_of_step<vectors * bytes>(at);
                    QWEN3VL_UNROLL
                    for (int v = 0; v < vectors; ++v) {
                        kernels::ivec<Arch> quad[Codes::quads];
                        Codes::template expand<Arch>(kernels::isa::load_bytes(Arch{}, at + v * bytes), quad);
                        QWEN3VL_UNROLL
                        for (int i = 0; i < Codes::quads; ++i) {
                            kernels::ivec<Arch> w[Dot::steps];
                            Dot::prepare(quad[i], w);
                            QWEN3VL_UNROLL
                            for (int s = 0; s < Dot::steps; ++s)
                                sum[v][i % chains] = Dot::add(sum[v][i % chains], w[s],
                                                              kernels::broadcast4<Arch>(in + (i * Dot::steps + s) * 4));
                        }
                    }
                    in += Codes::quads * Dot::steps * 4;
                }
                const std::byte* group = scales + f / activation_group * Layout::template group_bytes<Arch>;
                if constexpr (!row_scale) kernels::ask_ahead(group);
                QWEN3VL_UNROLL
                for (int v = 0; v < vectors; ++v) {
                    QWEN3VL_UNROLL
                    for (int c = 1; c < chains; ++c) sum[v][0] = kernels::isa::add_int32(Arch{}, sum[v][0], sum[v][c]);
                    kernels::vec<Arch> w_scale(0.0f), minimum(0.0f);
                    if constexpr (!row_scale)
                        w_scale = Layout::template group_scale<Arch>(panel, group, v * Arch::floats, minimum);
                    total[v] = kernels::add_flush<Arch, Kind>(
                        total[v], kernels::total_sum<Arch, Kind>(sum[v][0], *start), *scale, *start, w_scale, minimum);
                }
            }
        }
        QWEN3VL_UNROLL
        for (int v = 0; v < vectors; ++v) {
            if constexpr (row_scale)
                total[v] = total[v] * kernels::load<Arch>(reinterpret_cast<const float*>(panel) + v * Arch::floats);
            kernels::store<Arch>(total[v], out + v * Arch::floats);
        }
    }
};

}  // namespace qwen3vl::weights
