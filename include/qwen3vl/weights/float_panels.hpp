#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/kernels/outer_product.hpp>
#include <qwen3vl/weights/blocks.hpp>
#include <qwen3vl/weights/read_panel.hpp>
#include <string>
#include <type_traits>

/// Float formats in panels: rows side by side, column after column, so that a step of a kernel is one column of x times
/// vectors of w.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Converts a weight to the format. Throws LoadError where it does not fit.
template <class Element>
Element checked(float v, const TensorView& view, const std::string& name) {
    if constexpr (std::is_same_v<Element, f16>)
        if (std::abs(v) >= 65520.0f && std::isfinite(v))  // would round to infinity
            throw LoadError(std::string(view.file), name,
                            "numbers within 65504 for weights::F16 (weights::Bf16 holds them)", std::to_string(v));
    return Element(v);
}

/// Layout of the columns of a vector of rows: `columns` of them in `bytes` bytes, widened by expand() to one float32
/// vector each.
template <class Element>
struct FloatColumns {  // float32 and f16: column after column
    static constexpr int columns = 1;
    template <class Arch>
    static constexpr int bytes = Arch::floats* static_cast<int>(sizeof(Element));
    template <class Arch>
    static void expand(const std::byte* at, kernels::vec<Arch>* out) {
        out[0] = kernels::load<Arch>(reinterpret_cast<const Element*>(at));
    }
    static constexpr std::int64_t offset(std::int64_t row, std::int64_t /*column*/) {
        return row * static_cast<std::int64_t>(sizeof(Element));
    }
};
template <>
struct FloatColumns<bf16> {  // pairs of columns, the even one in the lower half of each lane: see widen_pairs
    static constexpr int columns = 2;
    template <class Arch>
    static constexpr int bytes = Arch::floats * 4;
    template <class Arch>
    static void expand(const std::byte* at, kernels::vec<Arch>* out) {
        kernels::widen_pairs<Arch>(kernels::isa::load_bytes(Arch{}, at), out);
    }
    static constexpr std::int64_t offset(std::int64_t row, std::int64_t column) { return row * 4 + column * 2; }
};

/// Columns summed from zero before they join the sum of those before them.
inline constexpr std::int64_t float_block = 256;

template <class Element, DType Stored>
struct FloatPanels {
    using Columns = FloatColumns<Element>;

    static constexpr bool row_major = false;
    static constexpr bool is_mapped(DType) { return false; }
    /// Bytes of a panel's step: of Columns::columns columns.
    template <class Arch>
    static constexpr int step_bytes = panel_vectors<Arch>* Columns::template bytes<Arch>;
    template <class Arch>
    static constexpr std::int64_t panel_bytes(std::int64_t cols) {
        return round_up(ceil_div(padded(cols, Arch::tiles), Columns::columns) * step_bytes<Arch>, 64);
    }
    /// Columns with those that AMX tiles of bfloat16 read beyond the end.
    static constexpr std::int64_t padded(std::int64_t cols, bool tiles) {
        return tiles && std::is_same_v<Element, bf16> ? round_up(cols, 32) : cols;
    }
    template <class Arch>
    static constexpr std::int64_t bytes(std::int64_t rows, std::int64_t cols) {
        return ceil_div(rows, panel_rows<Arch>) * panel_bytes<Arch>(cols);
    }

    /// Packs the tensor `view` of rows * cols numbers to `out`, bytes(rows, cols). Throws LoadError where a number does
    /// not fit the format.
    template <class Arch, class Team>
    static void pack(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team,
                     std::byte* out) {
        team.run(ceil_div(rows, panel_rows<Arch>), [&](std::int64_t panel, int) {
            std::byte* to = out + panel * panel_bytes<Arch>(cols);
            for (std::int64_t r = 0; r < panel_rows<Arch>; r += Arch::floats)
                for_each_piece<Arch>(view, panel * panel_rows<Arch> + r, rows, cols,
                                     [&](std::int64_t c, std::int64_t count, const float* values) {
                                         pack_piece<Arch>(values, count, to + address<Arch>(r, c), view, name);
                                     });
            const std::int64_t used = address<Arch>(0, round_up(cols, Columns::columns));
            std::memset(to + used, 0, static_cast<std::size_t>(panel_bytes<Arch>(cols) - used));
        });
    }

    template <class Arch>
    static void row(const WeightMatrix& w, std::int64_t r, float* out) {
        const std::byte* panel = w.data() + r / panel_rows<Arch> * panel_bytes<Arch>(w.cols());
        for (std::int64_t c = 0; c < w.cols(); ++c) {
            Element e;
            std::memcpy(static_cast<void*>(&e), panel + address<Arch>(r % panel_rows<Arch>, c), sizeof e);
            out[c] = static_cast<float>(e);
        }
    }

    template <class Arch>
    using Tiles = RowTiles<kernels::outer_rows<Arch>, kernels::outer_rows<Arch> / 3>;

    template <class Arch>
    static constexpr std::int64_t activation_bytes(std::int64_t rows, std::int64_t cols) {
        return rows * input_cols(cols) * static_cast<std::int64_t>(sizeof(float));
    }

    /// Columns [first, first + count) of row r.
    template <class Arch>
    static void pack_activations(const PackedActivations& x, std::int64_t r, std::int64_t first, std::int64_t count,
                                 const float* values) {
        const auto tile = Tiles<Arch>::at(r, x.rows);
        float* out = tile_data(x, tile.begin) + r - tile.begin;
        for (std::int64_t c = 0; c < count; ++c) out[(first + c) * tile.height] = values[c];
        if (first + count == x.cols && x.cols < input_cols(x.cols))
            out[x.cols * tile.height] = 0.0f;  // meets the padding of the last pair
    }

    /// Computes out [rows, count] = rows [begin, begin + rows) of x times weight rows [first, first + count)^T. `first`
    /// is a multiple of task_rows, `count` at most most_task_rows; `begin` is a multiple of whole_pass, `rows` at most
    /// pass_rows. out has rows of out_stride floats, whole vectors of which may be written.
    template <class Arch>
    static void gemm_panel(const WeightMatrix& w, std::int64_t first, std::int64_t count, const PackedActivations& x,
                           std::int64_t begin, std::int64_t rows, float* out, std::int64_t out_stride) {
        const std::int64_t stride = panel_bytes<Arch>(w.cols()), cols = input_cols(w.cols());
        const std::byte* base = w.data() + first / panel_rows<Arch> * stride;
        if (Tiles<Arch>::at(begin, x.rows).height > 1) {
            const auto at = [&](std::int64_t p, std::int64_t k) {
                return base + p / panel_rows<Arch> * stride + address<Arch>(0, k);
            };
            constexpr int halves = panel_vectors<Arch> / kernels::outer_vectors;
            for_each_block<Arch>(count, cols, float_block, halves * ceil_div(rows, kernels::outer_rows<Arch>), at,
                                 [&](std::int64_t p, std::int64_t k, std::int64_t depth, kernels::GradualAsk& ask) {
                                     multiply_block<Arch>(at(p, k), k, depth, x, begin, rows, out + p, out_stride, ask);
                                 });
        } else {
            for (std::int64_t r = 0; r < rows; ++r)
                for (std::int64_t p = 0; p < count; p += panel_rows<Arch>)
                    stream<Arch>(base + p / panel_rows<Arch> * stride, tile_data(x, begin + r), cols,
                                 out + r * out_stride + p);
        }
    }

  private:
    /// Columns of x, the last pair made whole.
    static constexpr std::int64_t input_cols(std::int64_t cols) { return round_up(cols, Columns::columns); }
    static float* tile_data(const PackedActivations& x, std::int64_t row) {
        return reinterpret_cast<float*>(x.data) + row * input_cols(x.cols);
    }

    template <class Arch>
    static std::int64_t address(std::int64_t row, std::int64_t column) {
        return column / Columns::columns * step_bytes<Arch> + row / Arch::floats * Columns::template bytes<Arch> +
               Columns::offset(row % Arch::floats, column % Columns::columns);
    }

    /// Columns of a vector of rows from values [Arch::floats][read_columns].
    template <class Arch>
    static void pack_piece(const float* values, std::int64_t count, std::byte* out, const TensorView& view,
                           const std::string& name) {
        constexpr int width = Arch::floats;
        constexpr std::int64_t size = width * read_columns;
        if constexpr (std::is_same_v<Element, bf16>) {
            alignas(64) bf16 narrow[std::size_t{size}];
            bool finite = true;  // vectors do not keep a NaN
            for (std::int64_t i = 0; i < size; i += width) {
                const auto v = kernels::load<Arch>(values + i);
                if (i % read_columns < count) finite = finite && kernels::sum_lanes<Arch>(v - v) == 0.0f;
                kernels::store<Arch>(v, narrow + i);
            }
            if (!finite) std::transform(values, values + size, narrow, [](float v) { return bf16(v); });
            for (std::int64_t r = 0; r < width && count % 2; ++r) narrow[r * read_columns + count] = bf16{};
            kernels::transpose<width>(reinterpret_cast<const std::byte*>(narrow), read_columns / 2, ceil_div(count, 2),
                                      out, panel_rows<Arch>);
        } else if constexpr (std::is_same_v<Element, float>) {
            kernels::transpose<width>(reinterpret_cast<const std::byte*>(values), read_columns, count, out,
                                      panel_rows<Arch>);
        } else {
            alignas(64) float columns[std::size_t{size}];
            kernels::transpose<width>(reinterpret_cast<const std::byte*>(values), read_columns, count,
                                      reinterpret_cast<std::byte*>(columns));
            for (std::int64_t c = 0; c < count; ++c) {
                const auto v = kernels::load<Arch>(columns + c * width);
                if (xsimd::any(xsimd::abs(v) >= kernels::vec<Arch>(65520.0f)))
                    for (int r = 0; r < width; ++r) checked<Element>(columns[c * width + r], view, name);
                kernels::store<Arch>(v, reinterpret_cast<Element*>(out) + c * panel_rows<Arch>);
            }
        }
    }

    /// Columns of a block for the register tile's vectors from `vector` on, as float32 [depth][outer_vectors]: where
    /// they lie, or in `scratch`.
    template <class Arch>
    static const float* expand_block(const std::byte* block, std::int64_t depth, int vector, float* scratch) {
        constexpr int vectors = kernels::outer_vectors, bytes = Columns::template bytes<Arch>;
        const std::byte* at = block + vector * bytes;
        if constexpr (std::is_same_v<Element, float> && vectors == panel_vectors<Arch>)
            return reinterpret_cast<const float*>(at);
        for (std::int64_t c = 0; c < depth; c += Columns::columns, at += step_bytes<Arch>)
            for (int v = 0; v < vectors; ++v) {
                kernels::vec<Arch> columns[Columns::columns];
                Columns::template expand<Arch>(at + v * bytes, columns);
                for (int i = 0; i < Columns::columns; ++i)
                    kernels::store<Arch>(columns[i], scratch + ((c + i) * vectors + v) * Arch::floats);
            }
        return scratch;
    }

    /// Rows [begin, begin + rows) of x times a block, columns [k, k + depth) of a panel, added to out.
    template <class Arch>
    static void multiply_block(const std::byte* block, std::int64_t k, std::int64_t depth, const PackedActivations& x,
                               std::int64_t begin, std::int64_t rows, float* out, std::int64_t out_stride,
                               kernels::GradualAsk& ask) {
        constexpr int vectors = kernels::outer_vectors, width = vectors * Arch::floats;
        alignas(64) float scratch[std::size_t{float_block * width}];
        for (int v = 0; v < panel_vectors<Arch>; v += vectors, out += width) {
            const float* w = expand_block<Arch>(block, depth, v, scratch);
            Tiles<Arch>::for_each(begin, begin + rows, x.rows, [&](std::int64_t r, auto height) {
                ask();
                kernels::outer_product<Arch, height(), vectors>(tile_data(x, r) + k * height(), w, depth, k == 0,
                                                                out + (r - begin) * out_stride, out_stride);
            });
        }
    }

    /// Multiplies one row of x with a panel, read where it lies; sums in the same order as outer_product's.
    template <class Arch>
    static void stream(const std::byte* at, const float* x, std::int64_t cols, float* out) {
        constexpr int vectors = panel_vectors<Arch>;
        kernels::vec<Arch> total[std::size_t{vectors}];
        for (std::int64_t k = 0; k < cols; k += float_block) {
            kernels::vec<Arch> sum[std::size_t{vectors}];
            QWEN3VL_UNROLL
            for (int v = 0; v < vectors; ++v) sum[v] = kernels::vec<Arch>(0.0f);
            for (std::int64_t c = k, end = std::min(k + float_block, cols); c < end;
                 c += Columns::columns, at += step_bytes<Arch>) {
                kernels::ask_ahead_of_step<step_bytes<Arch>>(at);
                QWEN3VL_UNROLL
                for (int v = 0; v < vectors; ++v) {
                    kernels::vec<Arch> w[Columns::columns];
                    Columns::template expand<Arch>(at + v * Columns::template bytes<Arch>, w);
                    QWEN3VL_UNROLL
                    for (int i = 0; i < Columns::columns; ++i)
                        sum[v] = kernels::fma<Arch>(kernels::vec<Arch>(x[c + i]), w[i], sum[v]);
                }
            }
            QWEN3VL_UNROLL
            for (int v = 0; v < vectors; ++v) total[v] = k == 0 ? sum[v] : total[v] + sum[v];
        }
        QWEN3VL_UNROLL
        for (int v = 0; v < vectors; ++v) kernels::store<Arch>(total[v], out + v * Arch::floats);
    }
};

}  // namespace qwen3vl::weights
