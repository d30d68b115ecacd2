#pragma once
#include <algorithm>
#include <qwen3vl/kernels/integer_tile.hpp>
#include <qwen3vl/weights/integer_codes.hpp>
#include <qwen3vl/weights/matrix.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Layout of the codes and scales of an integer format. A panel of rows is cut into blocks of columns. A block holds
/// its codes, four columns to a lane and vectors of rows side by side, and then its scales: decoding is one run through
/// memory.
template <class Format>
struct IntegerLayout {
    using F = integer_format<Format>;
    using Codes = typename F::Codes;
    using Kind = typename F::Kind;
    static constexpr std::int64_t block_columns = kernels::integer_block;
    static constexpr std::int64_t load_columns = 4 * Codes::quads;  ///< columns of one vector of codes
    static constexpr std::int64_t activation_group =
        F::group > 0 ? F::group : 128;  ///< columns that share an activation's scale
    static constexpr bool row_scale = F::group == 0,
                          row_range =
                              F::scales == Scales::bits8;  ///< float32 numbers of a row before its panel's blocks

    /// Bytes of the numbers of a panel's rows: the scale, or the smallest scale of each row and then the steps.
    template <class Arch>
    static constexpr std::int64_t header_bytes = (row_scale   ? 4
                                                  : row_range ? 8
                                                              : 0) *
                                                 panel_rows<Arch>;
    template <class Arch>
    static constexpr std::int64_t vector_bytes = 4 * Arch::floats;
    /// Bytes of load_columns columns of a panel.
    template <class Arch>
    static constexpr std::int64_t step_bytes = panel_vectors<Arch>* vector_bytes<Arch>;
    /// Columns of a block with those that kernels read beyond the end: AMX tiles take 64.
    template <class Arch>
    static constexpr std::int64_t padded(std::int64_t columns) {
        return round_up(columns, Arch::tiles ? 64 : load_columns);
    }
    template <class Arch>
    static constexpr std::int64_t code_bytes(std::int64_t columns) {
        return padded<Arch>(columns) / load_columns * step_bytes<Arch>;
    }
    /// Bytes of the scales, and the minima behind them, of one group of a panel's rows.
    template <class Arch>
    static constexpr std::int64_t group_bytes = row_scale ? 0
                                                          : panel_rows<Arch>*(row_range       ? 1
                                                                              : Kind::minimum ? 4
                                                                                              : 2);
    template <class Arch>
    static constexpr std::int64_t block_bytes(std::int64_t columns) {
        return round_up(code_bytes<Arch>(columns) + ceil_div(columns, activation_group) * group_bytes<Arch>, 64);
    }
    template <class Arch>
    static constexpr std::int64_t panel_bytes(std::int64_t cols) {
        const std::int64_t whole = cols / block_columns, rest = cols % block_columns;
        return round_up(header_bytes<Arch>, 64) + whole * block_bytes<Arch>(block_columns) +
               (rest ? block_bytes<Arch>(rest) : 0);
    }
    template <class Arch>
    static constexpr std::int64_t bytes(std::int64_t rows, std::int64_t cols) {
        return ceil_div(rows, panel_rows<Arch>) * panel_bytes<Arch>(cols);
    }

    /// Offset of the block that begins at column k.
    template <class Arch>
    static constexpr std::int64_t block_at(std::int64_t k) {
        return round_up(header_bytes<Arch>, 64) + k / block_columns * block_bytes<Arch>(block_columns);
    }
    /// Offset of the codes of a row of the panel that hold column c.
    template <class Arch>
    static constexpr std::int64_t lane_at(std::int64_t c, std::int64_t row) {
        return block_at<Arch>(c) + c % block_columns / load_columns * step_bytes<Arch> + 4 * row;
    }

    /// Offset of the scale of the group at column c, for the panel's first row.
    template <class Arch>
    static constexpr std::int64_t group_at(std::int64_t cols, std::int64_t c) {
        const std::int64_t k = c / block_columns * block_columns;
        return block_at<Arch>(k) + code_bytes<Arch>(std::min(block_columns, cols - k)) +
               (c - k) / activation_group * group_bytes<Arch>;
    }

    /// f(first column, count) for every group of columns that share a weight scale (for a row's scale: that share an
    /// activation's).
    template <class Arch, class Fn>
    static void for_each_group(std::int64_t cols, Fn&& f) {
        for (std::int64_t c = 0; c < cols; c += activation_group) f(c, std::min(activation_group, cols - c));
    }

    /// Scales of the group whose scales begin at `at`, for the rows from `row` on, one for each lane.
    template <class Arch>
    static kernels::vec<Arch> group_scale(const std::byte* panel, const std::byte* at, std::int64_t row,
                                          kernels::vec<Arch>& minimum) {
        if constexpr (row_range) {
            const auto* range = reinterpret_cast<const float*>(panel) + row;
            const auto code = kernels::isa::int_to_float(
                Arch{}, kernels::isa::bytes_to_int(Arch{}, reinterpret_cast<const std::uint8_t*>(at) + row));
            return kernels::fma<Arch>(kernels::vec<Arch>(code), kernels::load<Arch>(range + panel_rows<Arch>),
                                      kernels::load<Arch>(range));
        } else {
            if constexpr (Kind::minimum)
                minimum = kernels::load<Arch>(reinterpret_cast<const f16*>(at) + panel_rows<Arch> + row);
            return kernels::load<Arch>(reinterpret_cast<const f16*>(at) + row);
        }
    }
};

}  // namespace qwen3vl::weights
