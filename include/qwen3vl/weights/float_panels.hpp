#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/kernels/outer_product.hpp>
#include <qwen3vl/weights/matrix.hpp>
#include <qwen3vl/weights/read_panel.hpp>
#include <string>
#include <type_traits>

/// Float formats in panels: Arch::floats rows side by side, column after column, so that a step of a kernel is one column of x times one vector of w.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// A weight as the format keeps it. Throws LoadError where it does not fit.
template <class Element>
Element checked(float v, const TensorView& view, const std::string& name) {
    if constexpr (std::is_same_v<Element, f16>)
        if (std::abs(v) >= 65520.0f && std::isfinite(v))  // would round to infinity
            throw LoadError(std::string(view.file), name, "numbers within 65504 for weights::F16 (weights::Bf16 holds them)", std::to_string(v));
    return Element(v);
}

/// How a panel's columns lie: `columns` of them in `bytes` bytes, widened by expand() to one float32 vector each.
template <class Element>
struct FloatColumns {  // float32 and f16: column after column
    static constexpr int columns = 1;
    template <class Arch>
    static constexpr int bytes = Arch::floats* static_cast<int>(sizeof(Element));
    template <class Arch>
    static void expand(const std::byte* at, kernels::vec<Arch>* out) {
        out[0] = kernels::load<Arch>(reinterpret_cast<const Element*>(at));
    }
    static constexpr std::int64_t offset(std::int64_t row, std::int64_t /*column*/, int /*floats*/) { return row * static_cast<std::int64_t>(sizeof(Element)); }
};
template <>
struct FloatColumns<bf16> {  // pairs of columns, the even one in the lower half of each lane: one shift or mask widens a vector
    static constexpr int columns = 2;
    template <class Arch>
    static constexpr int bytes = Arch::floats * 4;
    template <class Arch>
    static void expand(const std::byte* at, kernels::vec<Arch>* out) {
        const auto pairs = kernels::isa::load_bytes(Arch{}, at);
        out[0] = kernels::isa::float_bits(Arch{}, kernels::isa::template shift_left32<16>(Arch{}, pairs));
        out[1] = kernels::isa::float_bits(Arch{}, kernels::isa::and_bits(Arch{}, pairs, kernels::isa::set_int(Arch{}, static_cast<std::int32_t>(0xffff0000))));
    }
    static constexpr std::int64_t offset(std::int64_t row, std::int64_t column, int /*floats*/) { return row * 4 + column * 2; }
};

/// Columns summed from zero before they join the sum of those before them.
inline constexpr std::int64_t float_block = 256;

template <class Element, DType Stored>
struct FloatPanels {
    using Columns = FloatColumns<Element>;

    static constexpr bool row_major = false;
    static constexpr bool is_mapped(DType) { return false; }
    template <class Arch>
    static constexpr std::int64_t panel_bytes(std::int64_t cols) {
        const std::int64_t n = round_up(ceil_div(padded(cols, Arch::tiles), Columns::columns) * Columns::template bytes<Arch>, 64);
        return n % 4096 == 0 ? n + 64 : n;  // panels are read side by side: a power of two apart, they would meet in the same sets of the caches
    }
    /// Columns with those that AMX tiles of bfloat16 read beyond the end.
    static constexpr std::int64_t padded(std::int64_t cols, bool tiles) { return tiles && std::is_same_v<Element, bf16> ? round_up(cols, 32) : cols; }
    template <class Arch>
    static constexpr std::int64_t bytes(std::int64_t rows, std::int64_t cols) {
        return ceil_div(rows, Arch::floats) * panel_bytes<Arch>(cols);
    }

    /// The tensor `view` of rows * cols numbers to `out`, bytes(rows, cols). Throws LoadError where a number does not fit the format.
    template <class Arch, class Team>
    static void pack(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team, std::byte* out) {
        constexpr std::int64_t width = Arch::floats;
        team.run(ceil_div(rows, width), [&](std::int64_t panel, int) {
            std::byte* to = out + panel * panel_bytes<Arch>(cols);
            for_each_piece<Arch>(view, panel * width, rows, cols, [&](std::int64_t c, std::int64_t count, const float* values) {
                pack_piece<Arch>(values, count, to + address<Arch>(0, c), view, name);
            });
            const std::int64_t used = address<Arch>(0, round_up(cols, Columns::columns));
            std::memset(to + used, 0, static_cast<std::size_t>(panel_bytes<Arch>(cols) - used));
        });
    }

    template <class Arch>
    static void row(const WeightMatrix& w, std::int64_t r, float* out) {
        const std::byte* panel = w.data() + r / Arch::floats * panel_bytes<Arch>(w.cols());
        for (std::int64_t c = 0; c < w.cols(); ++c) {
            Element e;
            std::memcpy(static_cast<void*>(&e), panel + address<Arch>(r % Arch::floats, c), sizeof e);
            out[c] = static_cast<float>(e);
        }
    }

    template <class Arch>
    using Tiles = RowTiles<kernels::outer_rows<Arch>, kernels::outer_rows<Arch> / 3>;

    template <class Arch>
    static constexpr std::int64_t input_bytes(std::int64_t rows, std::int64_t cols) {
        return rows * input_cols(cols) * static_cast<std::int64_t>(sizeof(float));
    }

    /// Columns [first, first + count) of row r.
    template <class Arch>
    static void encode(const Input& x, std::int64_t r, std::int64_t first, std::int64_t count, const float* values) {
        const auto tile = Tiles<Arch>::at(r, x.rows);
        float* out = tile_data(x, tile.begin) + r - tile.begin;
        for (std::int64_t c = 0; c < count; ++c) out[(first + c) * tile.height] = values[c];
        if (first + count == x.cols && x.cols < input_cols(x.cols)) out[x.cols * tile.height] = 0.0f;  // meets the padding of the last pair
    }

    /// out [rows, count] = rows [begin, begin + rows) of x times weight rows [first, first + count)^T; first is a multiple of task_rows, count at most
    /// that; begin is a multiple of pass_rows, rows at most that. out has rows of out_stride floats, whole vectors of which may be written.
    template <class Arch>
    static void panel(const WeightMatrix& w, std::int64_t first, std::int64_t count, const Input& x, std::int64_t begin, std::int64_t rows, float* out,
                      std::int64_t out_stride) {
        constexpr int width = Arch::floats, row_vectors = Arch::floats == 16 ? 8 : 4;
        const std::int64_t panels = ceil_div(count, width), stride = panel_bytes<Arch>(w.cols()), cols = input_cols(w.cols());
        const std::byte* base = w.data() + first / width * stride;
        if (Tiles<Arch>::at(begin, x.rows).height > 1) {
            alignas(64) float block[float_block * 2 * width];
            for (std::int64_t k = 0; k < cols; k += float_block)
                for (std::int64_t p = 0; p < panels; p += 2) {
                    const auto pair = [&]<int NV>() {
                        const std::int64_t depth = std::min(float_block, cols - k);
                        for (int v = 0; v < NV; ++v) expand_block<Arch>(base + (p + v) * stride, k, depth, block + v * width, NV * width);
                        Tiles<Arch>::for_each(begin, begin + rows, x.rows, [&](std::int64_t r, auto height) {
                            kernels::outer_product<Arch, height(), NV>(tile_data(x, r) + k * height(), height(), block, NV * width, depth, k == 0,
                                                                       out + (r - begin) * out_stride + p * width, out_stride);
                        });
                    };
                    p + 2 <= panels ? pair.template operator()<2>() : pair.template operator()<1>();
                }
            return;
        }
        for (std::int64_t r = 0; r < rows; ++r) {
            std::int64_t p = 0;
            const float* in = tile_data(x, begin + r);
            for (; p + row_vectors <= panels; p += row_vectors)
                stream<Arch, row_vectors>(base + p * stride, stride, in, cols, out + r * out_stride + p * width);
            for (; p < panels; ++p) stream<Arch, 1>(base + p * stride, stride, in, cols, out + r * out_stride + p * width);
        }
    }

  private:
    /// Columns of x, the last pair made whole.
    static constexpr std::int64_t input_cols(std::int64_t cols) { return round_up(cols, Columns::columns); }
    static float* tile_data(const Input& x, std::int64_t row) { return reinterpret_cast<float*>(x.data) + row * input_cols(x.cols); }

    template <class Arch>
    static std::int64_t address(std::int64_t row, std::int64_t column) {
        return column / Columns::columns * Columns::template bytes<Arch> + Columns::offset(row, column % Columns::columns, Arch::floats);
    }

    /// Columns of a panel from values [Arch::floats][read_columns].
    template <class Arch>
    static void pack_piece(const float* values, std::int64_t count, std::byte* out, const TensorView& view, const std::string& name) {
        constexpr int width = Arch::floats;
        constexpr std::int64_t size = width * read_columns;
        if constexpr (std::is_same_v<Element, bf16>) {
            alignas(64) bf16 narrow[size];
            bool finite = true;  // vectors do not keep a NaN
            for (std::int64_t i = 0; i < size; i += width) {
                const auto v = kernels::load<Arch>(values + i);
                if (i % read_columns < count) finite = finite && kernels::sum_lanes<Arch>(v - v) == 0.0f;
                kernels::store<Arch>(v, narrow + i);
            }
            if (!finite) std::transform(values, values + size, narrow, [](float v) { return bf16(v); });
            for (std::int64_t r = 0; r < width && count % 2; ++r) narrow[r * read_columns + count] = bf16{};
            kernels::transpose<width>(reinterpret_cast<const std::byte*>(narrow), read_columns / 2, ceil_div(count, 2), out);
        } else if constexpr (std::is_same_v<Element, float>) {
            kernels::transpose<width>(reinterpret_cast<const std::byte*>(values), read_columns, count, out);
        } else {
            alignas(64) float columns[size];
            kernels::transpose<width>(reinterpret_cast<const std::byte*>(values), read_columns, count, reinterpret_cast<std::byte*>(columns));
            for (std::int64_t c = 0; c < count; ++c) {
                const auto v = kernels::load<Arch>(columns + c * width);
                if (xsimd::any(xsimd::abs(v) >= kernels::vec<Arch>(65520.0f)))
                    for (int r = 0; r < width; ++r) checked<Element>(columns[c * width + r], view, name);
                kernels::store<Arch>(v, reinterpret_cast<Element*>(out) + c * width);
            }
        }
    }

    /// Columns [k, k + depth) of a panel to float32 vectors `step` floats apart.
    template <class Arch>
    static void expand_block(const std::byte* panel, std::int64_t k, std::int64_t depth, float* out, std::int64_t step) {
        const std::byte* at = panel + k / Columns::columns * Columns::template bytes<Arch>;
        for (std::int64_t c = 0; c < depth; c += Columns::columns, at += Columns::template bytes<Arch>) {
            kernels::vec<Arch> v[Columns::columns];
            Columns::template expand<Arch>(at, v);
            for (int i = 0; i < Columns::columns; ++i) kernels::store<Arch>(v[i], out + (c + i) * step);
        }
    }

    /// One row of x times NV panels, read where they lie; sums in the same order as outer_product's.
    template <class Arch, int NV>
    static void stream(const std::byte* panels, std::int64_t stride, const float* x, std::int64_t cols, float* out) {
        constexpr int width = Arch::floats;
        kernels::vec<Arch> total[NV];
        for (std::int64_t k = 0; k < cols; k += float_block) {
            kernels::vec<Arch> sum[NV];
            QWEN3VL_UNROLL
            for (int v = 0; v < NV; ++v) sum[v] = kernels::vec<Arch>(0.0f);
            for (std::int64_t c = k, end = std::min(k + float_block, cols); c < end; c += Columns::columns) {
                const std::byte* at = panels + c / Columns::columns * Columns::template bytes<Arch>;
                QWEN3VL_UNROLL
                for (int v = 0; v < NV; ++v) {
                    kernels::vec<Arch> w[Columns::columns];
                    Columns::template expand<Arch>(at + v * stride, w);
                    QWEN3VL_UNROLL
                    for (int i = 0; i < Columns::columns; ++i) sum[v] = kernels::fma<Arch>(kernels::vec<Arch>(x[c + i]), w[i], sum[v]);
                }
            }
            QWEN3VL_UNROLL
            for (int v = 0; v < NV; ++v) total[v] = k == 0 ? sum[v] : total[v] + sum[v];
        }
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) kernels::store<Arch>(total[v], out + v * width);
    }
};

}  // namespace qwen3vl::weights
