#pragma once
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/kernels/amx_tiles.hpp>
#include <qwen3vl/weights/integer_lanes.hpp>
#include <qwen3vl/weights/matrix.hpp>
#include <qwen3vl/weights/read_panel.hpp>
#include <string>
#include <vector>

/// Integer formats in panels of Arch::floats rows. A panel is cut into blocks of columns; a block holds its codes, four columns to a lane, and then its scales,
/// so that a step of decoding is one run through memory. Activations are quantised row by row to signed bytes with a scale for each flush.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

template <class Format>
struct IntegerPanels {
    using F = integer_format<Format>;
    using Codes = typename F::Codes;
    using Kind = typename F::Kind;
    template <class Arch>
    using Dot = kernels::IntegerDot<Arch, Kind::narrow>;
    static constexpr std::int64_t block_columns = kernels::integer_block;
    static constexpr std::int64_t load_columns = 4 * Codes::quads;                            ///< columns of one vector of codes
    static constexpr std::int64_t activation_group = F::group > 0 ? F::group : 128;           ///< columns that share an activation's scale
    static constexpr bool row_scale = F::group == 0, row_range = F::scales == Scales::bits8;  ///< float32 numbers of a row before its panel's blocks

    static constexpr bool row_major = false;
    static constexpr bool is_mapped(DType) { return false; }

    // ---- layout of weights
    template <class Arch>
    static constexpr std::int64_t header_bytes = (row_scale   ? 4
                                                  : row_range ? 8
                                                              : 0) *
                                                 std::int64_t{Arch::floats};
    template <class Arch>
    static constexpr std::int64_t vector_bytes = 4 * Arch::floats;
    template <class Arch>
    static constexpr std::int64_t code_bytes(std::int64_t columns) {
        return ceil_div(columns, load_columns) * vector_bytes<Arch>;
    }
    /// Bytes of the scales, and the minima behind them, of one group of a panel's rows.
    template <class Arch>
    static constexpr std::int64_t group_bytes = row_scale ? 0
                                                          : Arch::floats*(row_range       ? 1
                                                                          : Kind::minimum ? 4
                                                                                          : 2);
    template <class Arch>
    static constexpr std::int64_t block_bytes(std::int64_t columns) {
        return round_up(code_bytes<Arch>(columns) + ceil_div(columns, activation_group) * group_bytes<Arch>, 64);
    }
    template <class Arch>
    static constexpr std::int64_t panel_bytes(std::int64_t cols) {
        const std::int64_t whole = cols / block_columns, rest = cols % block_columns;
        return round_up(header_bytes<Arch>, 64) + whole * block_bytes<Arch>(block_columns) + (rest ? block_bytes<Arch>(rest) : 0);
    }
    template <class Arch>
    static constexpr std::int64_t bytes(std::int64_t rows, std::int64_t cols) {
        return ceil_div(rows, Arch::floats) * panel_bytes<Arch>(cols);
    }

    /// Quantises the tensor `view` of rows * cols numbers to `out`, bytes(rows, cols): rounded to nearest; or where the moments of the
    /// columns are given, so that outputs are as near as they can be: with searched scales (IntegerLanes::search), and each error made up for by the columns
    /// behind it (ErrorFeedback). Throws LoadError where a number is not finite or too large for a scale, or the moments are none.
    template <class Arch, class Team>
    static void pack(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team, std::byte* out,
                     const ColumnMoments* moments = nullptr) {
        constexpr std::int64_t width = Arch::floats;
        const ErrorFeedback feedback = moments ? error_feedback(*moments, team) : ErrorFeedback{};
        ThreadBuffers buffers(team.threads(), (moments ? 2 : 1) * cols * width);
        team.run(ceil_div(rows, width), [&](std::int64_t index, int thread) {
            float* w = buffers.of(thread);
            read_panel<Arch>(view, index * width, rows, cols, w);
            kernels::vec<Arch> largest(0.0f), undefined(0.0f);
            for (std::int64_t c = 0; c < cols; ++c) {
                const auto v = kernels::load<Arch>(w + c * width);
                largest = xsimd::max(largest, xsimd::abs(v));
                undefined = undefined + (v - v);
            }
            if (!(kernels::max_lane<Arch>(largest) <= 65504.0f && kernels::sum_lanes<Arch>(undefined) == 0.0f))
                throw LoadError(std::string(view.file), name, std::string("finite numbers within 65504 for ") + Format::name,
                                std::to_string(*std::find_if_not(w, w + cols * width, [](float v) { return std::abs(v) <= 65504.0f; })));
            std::byte* panel = out + index * panel_bytes<Arch>(cols);
            std::memset(panel, 0, static_cast<std::size_t>(panel_bytes<Arch>(cols)));
            if (moments) std::copy_n(w, cols * width, w + cols * width);
            pack_panel<Arch>(w, cols, moments ? &feedback : nullptr, panel);
        });
    }

    template <class Arch>
    static void row(const WeightMatrix& w, std::int64_t r, float* out) {
        const std::int64_t cols = w.cols(), lane = r % Arch::floats;
        const std::byte* panel = w.data() + r / Arch::floats * panel_bytes<Arch>(cols);
        for_each_group<Arch>(cols, [&](std::int64_t first, std::int64_t count) {
            const GroupScale g = get_scale<Arch>(panel, cols, first, lane);
            for (std::int64_t c = first; c < first + count; ++c)
                out[c] = F::decode(Codes::get(panel + lane_at<Arch>(c, lane), static_cast<int>(c % load_columns / 4), static_cast<int>(c % 4)), g);
        });
    }

    // ---- layout of activations: row by row of a register tile, codes, then scales, then starts of all its flushes
    template <class Arch>
    static constexpr int full_rows = Arch::floats == 16 ? 12 : 6;
    template <class Arch>
    using Tiles = std::conditional_t<Arch::tiles, AmxRowTiles, RowTiles<full_rows<Arch>, full_rows<Arch> / 3>>;
    template <class Arch>
    static constexpr std::int64_t flush_columns = Dot<Arch>::flush_columns ? Dot<Arch>::flush_columns : activation_group;
    /// Groups of four columns, those of the padding included.
    template <class Arch>
    static constexpr std::int64_t quads(std::int64_t cols) {
        return round_up(cols, Arch::tiles ? 64 : load_columns) / 4;
    }
    /// Where the first step of quad q of a row lies in the codes of a tile of so many rows.
    template <class Arch>
    static constexpr std::int64_t quad_at(std::int64_t q, std::int64_t lane, std::int64_t height) {
        return Arch::tiles ? (q / 16 * height + lane) * 64 + q % 16 * 4 : (q * Dot<Arch>::steps * height + lane) * 4;
    }
    template <class Arch>
    static constexpr std::int64_t input_row_bytes(std::int64_t cols) {
        return quads<Arch>(cols) * Dot<Arch>::steps * 4 + ceil_div(cols, flush_columns<Arch>) * 8;
    }
    template <class Arch>
    static constexpr std::int64_t input_bytes(std::int64_t rows, std::int64_t cols) {
        return rows * input_row_bytes<Arch>(cols);
    }

    /// Quantises columns [first, first + count) of row r; first is a multiple of task_rows, and so is count unless the row ends there.
    template <class Arch>
    static void encode(const Input& x, std::int64_t r, std::int64_t first, std::int64_t count, const float* values) {
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
                Dot<Arch>::put(q * 4 < n ? codes + 4 * q : zeros, out.codes + quad_at<Arch>((first + c) / 4 + q, lane, h), h * 4);
            for (std::int64_t f = 0; f * flush_columns<Arch> < n; ++f) {
                const std::int64_t at = ((first + c) / flush_columns<Arch> + f) * h + lane;
                out.scales[at] = scale * F::x_unit;
                if constexpr (Kind::minimum)
                    out.starts[at] = scale * static_cast<float>(sums[f]);
                else
                    out.starts[at] = -F::zero * sums[f];
            }
        }
    }

    /// As FloatPanels::panel.
    template <class Arch>
    static void panel(const WeightMatrix& w, std::int64_t first, std::int64_t count, const Input& x, std::int64_t begin, std::int64_t rows, float* out,
                      std::int64_t out_stride) {
        constexpr int width = Arch::floats, row_vectors = Arch::floats == 16 ? 8 : 4;
        const std::int64_t panels = ceil_div(count, width), stride = panel_bytes<Arch>(w.cols()), cols = w.cols();
        const std::byte* base = w.data() + first / width * stride;
        if (Tiles<Arch>::at(begin, x.rows).height > 1) {
            [[maybe_unused]] auto registers = [] {
                if constexpr (Arch::tiles)
                    return kernels::AmxTiles(16, amx_step);
                else
                    return 0;
            }();
            alignas(64) std::byte codes[block_columns / 4 * Dot<Arch>::steps * 2 * vector_bytes<Arch>];
            alignas(64) float scales[block_columns / activation_group * 2 * width], minima[block_columns / activation_group * 2 * width];
            for (std::int64_t k = 0; k < cols; k += block_columns)
                for (std::int64_t p = 0; p < panels; p += 2) {
                    const auto pair = [&]<int NV>() {
                        const std::int64_t depth = std::min(block_columns, cols - k);
                        for (int v = 0; v < NV; ++v) {
                            const std::byte* from = base + (p + v) * stride;
                            expand_codes<Arch>(from + block_at<Arch>(k), depth, codes + v * vector_bytes<Arch>, NV * vector_bytes<Arch>);
                            for (std::int64_t q = round_up(depth, load_columns) / 4; q < quads<Arch>(depth); ++q)
                                std::memset(codes + (q * NV + v) * vector_bytes<Arch>, 0, vector_bytes<Arch>);
                            if constexpr (!row_scale)
                                for (std::int64_t g = 0; g < ceil_div(depth, activation_group); ++g) {
                                    kernels::vec<Arch> minimum;
                                    const auto scale = group_scale<Arch>(from, from + block_at<Arch>(k) + code_bytes<Arch>(depth), g, minimum);
                                    kernels::store<Arch>(scale, scales + (g * NV + v) * width);
                                    if constexpr (Kind::minimum) kernels::store<Arch>(minimum, minima + (g * NV + v) * width);
                                }
                        }
                        if constexpr (Arch::tiles)
                            for (std::int64_t r = begin; r < begin + rows; r += kernels::amx_rows) {
                                const std::int64_t height = Tiles<Arch>::at(r, x.rows).height;
                                const InputTile<Arch> tile(x, r, height);
                                registers.set_rows(static_cast<int>(height));
                                kernels::amx_integer_tile<Arch, Kind, NV>(
                                    shape<Arch>(depth), amx_step, height,
                                    {tile.codes + k * height, tile.scales + k / flush_columns<Arch> * height, tile.starts + k / flush_columns<Arch> * height},
                                    codes, scales, minima, k == 0, out + (r - begin) * out_stride + p * width, out_stride);
                            }
                        else
                            Tiles<Arch>::for_each(begin, begin + rows, x.rows, [&](std::int64_t r, auto height) {
                                const InputTile<Arch> in(x, r, height());
                                kernels::integer_tile<Arch, Kind, height(), NV>(shape<Arch>(depth), in.codes + k * height() * Dot<Arch>::steps,
                                                                                in.scales + k / flush_columns<Arch> * height(),
                                                                                in.starts + k / flush_columns<Arch> * height(), codes, scales, minima, k == 0,
                                                                                out + (r - begin) * out_stride + p * width, out_stride);
                            });
                    };
                    p + 2 <= panels ? pair.template operator()<2>() : pair.template operator()<1>();
                }
            if constexpr (row_scale)
                for (std::int64_t p = 0; p < panels; ++p) {
                    const auto scale = kernels::load<Arch>(reinterpret_cast<const float*>(base + p * stride));
                    for (std::int64_t r = 0; r < rows; ++r) {
                        float* at = out + r * out_stride + p * width;
                        kernels::store<Arch>(kernels::load<Arch>(at) * scale, at);
                    }
                }
            return;
        }
        for (std::int64_t r = 0; r < rows; ++r) {
            const InputTile<Arch> in(x, begin + r, 1);
            std::int64_t p = 0;
            for (; p + row_vectors <= panels; p += row_vectors)
                stream<Arch, row_vectors>(base + p * stride, stride, in, cols, out + r * out_stride + p * width);
            for (; p < panels; ++p) stream<Arch, 1>(base + p * stride, stride, in, cols, out + r * out_stride + p * width);
        }
    }

  private:
    static constexpr int amx_step = activation_group < 64 ? static_cast<int>(activation_group) : 64;  ///< columns of a step of AMX tiles

    /// Where a register tile's parts lie.
    template <class Arch>
    struct InputTile {
        std::byte* codes;
        float* scales;
        typename Kind::Start* starts;
        InputTile(const Input& x, std::int64_t begin, std::int64_t height) : codes(x.data + begin * input_row_bytes<Arch>(x.cols)) {
            scales = reinterpret_cast<float*>(codes + height * quads<Arch>(x.cols) * Dot<Arch>::steps * 4);
            starts = reinterpret_cast<typename Kind::Start*>(scales + height * ceil_div(x.cols, flush_columns<Arch>));
        }
    };

    template <class Arch>
    static constexpr kernels::IntegerBlock shape(std::int64_t depth) {
        return {round_up(depth, Arch::tiles ? amx_step : load_columns) / 4, flush_columns<Arch> / 4, activation_group / flush_columns<Arch>};
    }
    /// Offset of the block that begins at column k.
    template <class Arch>
    static constexpr std::int64_t block_at(std::int64_t k) {
        return round_up(header_bytes<Arch>, 64) + k / block_columns * block_bytes<Arch>(block_columns);
    }
    template <class Arch>
    static std::int64_t lane_at(std::int64_t c, std::int64_t lane) {
        return block_at<Arch>(c) + c % block_columns / load_columns * vector_bytes<Arch> + 4 * lane;
    }

    /// f(first column, count) for every group of columns that share a weight scale (for a row's scale: that share an activation's).
    template <class Arch, class Fn>
    static void for_each_group(std::int64_t cols, Fn&& f) {
        for (std::int64_t c = 0; c < cols; c += activation_group) f(c, std::min(activation_group, cols - c));
    }

    /// Where the scale of the group at column c begins for the panel's first row.
    template <class Arch>
    static std::int64_t group_at(std::int64_t cols, std::int64_t c) {
        const std::int64_t k = c / block_columns * block_columns;
        return block_at<Arch>(k) + code_bytes<Arch>(std::min(block_columns, cols - k)) + (c - k) / activation_group * group_bytes<Arch>;
    }

    template <class Arch>
    static GroupScale get_scale(const std::byte* panel, std::int64_t cols, std::int64_t c, std::int64_t lane) {
        const auto number = [&]<class T>(T v, std::int64_t at) {
            std::memcpy(static_cast<void*>(&v), panel + at, sizeof v);
            return static_cast<float>(v);
        };
        if constexpr (row_scale) {
            return {number(0.0f, 4 * lane)};
        } else {
            const std::int64_t at = group_at<Arch>(cols, c);
            if constexpr (row_range)
                return {std::fma(number(std::uint8_t{}, at + lane), number(0.0f, 4 * (Arch::floats + lane)), number(0.0f, 4 * lane))};
            else
                return {number(f16{}, at + 2 * lane), Kind::minimum ? number(f16{}, at + 2 * (Arch::floats + lane)) : 0.0f};
        }
    }

    /// w [cols][Arch::floats]; with feedback, followed by a copy of it.
    template <class Arch>
    static void pack_panel(float* w, std::int64_t cols, const ErrorFeedback* feedback, std::byte* panel) {
        using Lanes = IntegerLanes<Arch, Format>;
        constexpr std::int64_t width = Arch::floats;
        auto* header = reinterpret_cast<float*>(panel);
        const auto fit = [&](std::int64_t c, std::int64_t n) {
            if (!feedback) return Lanes::fit(w + c * width, n);
            for (std::int64_t i = c * width; i < (c + n) * width; ++i) w[i] = std::clamp(w[i], -65504.0f, 65504.0f);  // what columns before it have carried on
            return Lanes::search(w + c * width, feedback->variance.data() + c, n, kept_scale<Arch>);
        };
        const auto put = [&](std::int64_t c, std::int64_t n, const LaneScale<Arch>& g) {
            if (feedback) Lanes::carry_errors(w, w + cols * width, cols, c, n, g, *feedback);
            put_codes<Arch>(w, c, n, g, panel);
        };
        const auto scales_at = [&](std::int64_t c) { return panel + group_at<Arch>(cols, c); };
        if constexpr (row_scale) {
            const auto g = fit(0, cols);
            kernels::store<Arch>(g.scale, header);
            put(0, cols, g);
        } else if constexpr (row_range) {
            std::vector<float> scales;
            kernels::vec<Arch> low(HUGE_VALF), high(0.0f);
            for_each_group<Arch>(cols, [&](std::int64_t c, std::int64_t n) {
                const auto scale = fit(c, n).scale;
                low = xsimd::min(low, scale);
                high = xsimd::max(high, scale);
                scales.resize(scales.size() + width);
                kernels::store<Arch>(scale, scales.data() + scales.size() - width);
            });
            kernels::store<Arch>(low, header);
            kernels::store<Arch>((high - low) / kernels::vec<Arch>(255.0f), header + width);
            const float* scale = scales.data();
            for_each_group<Arch>(cols, [&](std::int64_t c, std::int64_t n) {
                for (std::int64_t r = 0; r < width; ++r, ++scale)
                    scales_at(c)[r] = static_cast<std::byte>(detail::clamp_round((*scale - header[r]) * detail::inverse(header[width + r]), 0, 255));
                put(c, n, read_scale<Arch>(panel, scales_at(c)));
            });
        } else {
            for_each_group<Arch>(cols, [&](std::int64_t c, std::int64_t n) {
                const auto g = fit(c, n);
                auto* out = reinterpret_cast<f16*>(scales_at(c));
                kernels::store<Arch>(g.scale, out);
                if constexpr (Kind::minimum) kernels::store<Arch>(g.minimum, out + width);
                put(c, n, read_scale<Arch>(panel, scales_at(c)));
            });
        }
    }

    /// A scale as the panel will give it back, as far as that depends on no other group.
    template <class Arch>
    static LaneScale<Arch> kept_scale(const LaneScale<Arch>& g) {
        if constexpr (row_scale || row_range) {
            return g;
        } else {
            alignas(64) f16 halves[2 * Arch::floats];
            kernels::store<Arch>(g.scale, halves);
            kernels::store<Arch>(g.minimum, halves + Arch::floats);
            return {kernels::load<Arch>(halves), kernels::load<Arch>(halves + Arch::floats)};
        }
    }
    template <class Arch>
    static LaneScale<Arch> read_scale(const std::byte* panel, const std::byte* at) {
        LaneScale<Arch> g;
        g.scale = group_scale<Arch>(panel, at, 0, g.minimum);
        return g;
    }

    /// The codes of columns [first, first + n), which share their scales.
    template <class Arch>
    static void put_codes(const float* w, std::int64_t first, std::int64_t n, const LaneScale<Arch>& g, std::byte* panel) {
        const typename IntegerLanes<Arch, Format>::Encoder encoder(g);
        for (std::int64_t c = first; c < first + n; c += load_columns) {
            auto packed = kernels::isa::set_int(Arch{}, 0);
            for (std::int64_t quad = Codes::quads; quad-- > 0;) {
                auto four = kernels::isa::set_int(Arch{}, 0);
                for (std::int64_t i = c + 4 * quad + 4; i-- > c + 4 * quad;) {
                    four = kernels::isa::template shift_left32<8>(Arch{}, four);
                    if (i < first + n) four = kernels::isa::add_int32(Arch{}, four, encoder.codes(kernels::load<Arch>(w + i * Arch::floats)));
                }
                packed = kernels::isa::add_int32(Arch{}, kernels::isa::template shift_left32<4>(Arch{}, packed), four);
            }
            kernels::isa::store_bytes(Arch{}, packed, panel + lane_at<Arch>(c, 0));
        }
    }

    /// n numbers to signed bytes, zeros up to the activation group's end, and the sums of each flush's; returns the scale.
    template <class Arch>
    static float quantise(const float* x, std::int64_t n, std::int8_t* codes, std::int32_t* sums) {
        kernels::vec<Arch> top(0.0f);
        kernels::for_each_vector<Arch>(n, [&](std::int64_t i, std::int64_t count) { top = xsimd::max(top, xsimd::abs(kernels::load<Arch>(x + i, count))); });
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

    /// Scales of group g of a block whose scales begin at `at`, one for each lane.
    template <class Arch>
    static kernels::vec<Arch> group_scale(const std::byte* panel, const std::byte* at, std::int64_t g, kernels::vec<Arch>& minimum) {
        at += g * group_bytes<Arch>;
        if constexpr (row_range) {
            const auto* range = reinterpret_cast<const float*>(panel);
            const auto code = kernels::isa::int_to_float(Arch{}, kernels::isa::bytes_to_int(Arch{}, reinterpret_cast<const std::uint8_t*>(at)));
            return kernels::fma<Arch>(kernels::vec<Arch>(code), kernels::load<Arch>(range + Arch::floats), kernels::load<Arch>(range));
        } else {
            if constexpr (Kind::minimum) minimum = kernels::load<Arch>(reinterpret_cast<const f16*>(at) + Arch::floats);
            return kernels::load<Arch>(reinterpret_cast<const f16*>(at));
        }
    }

    /// A block's codes as IntegerDot::prepare, vectors `step` bytes apart.
    template <class Arch>
    static void expand_codes(const std::byte* at, std::int64_t depth, std::byte* out, std::int64_t step) {
        for (std::int64_t c = 0; c < depth; c += load_columns, at += vector_bytes<Arch>) {
            kernels::ivec<Arch> v[Codes::quads];
            Codes::template expand<Arch>(kernels::isa::load_bytes(Arch{}, at), v);
            for (int i = 0; i < Codes::quads; ++i) {
                kernels::ivec<Arch> b[Dot<Arch>::steps];
                Dot<Arch>::prepare(v[i], b);
                for (int s = 0; s < Dot<Arch>::steps; ++s, out += step) kernels::isa::store_bytes(Arch{}, b[s], out);
            }
        }
    }

    /// One row of x times NV panels, read where they lie; sums in the same order as integer_tile's.
    template <class Arch, int NV>
    static void stream(const std::byte* panels, std::int64_t stride, const InputTile<Arch>& x, std::int64_t cols, float* out) {
        using Dot = IntegerPanels::Dot<Arch>;
        constexpr int width = Arch::floats;
        kernels::vec<Arch> total[NV];
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) total[v] = kernels::vec<Arch>(0.0f);
        const std::byte* in = x.codes;
        const float* scale = x.scales;
        const auto* start = x.starts;
        for (std::int64_t k = 0; k < cols; k += block_columns) {
            const std::int64_t depth = std::min(block_columns, cols - k);
            const std::byte* at = panels + block_at<Arch>(k);
            const std::byte* scales = at + code_bytes<Arch>(depth);
            for (std::int64_t f = 0; f < depth; f += flush_columns<Arch>, ++scale, ++start) {
                kernels::ivec<Arch> sum[NV];
                QWEN3VL_UNROLL
                for (int v = 0; v < NV; ++v) sum[v] = kernels::start_sum<Arch, Kind>(*start);
                for (std::int64_t n = std::min(flush_columns<Arch>, round_up(depth - f, load_columns)); n > 0; n -= load_columns, at += vector_bytes<Arch>) {
                    QWEN3VL_UNROLL
                    for (int v = 0; v < NV; ++v) {
                        kernels::ivec<Arch> w[Codes::quads];
                        Codes::template expand<Arch>(kernels::isa::load_bytes(Arch{}, at + v * stride), w);
                        QWEN3VL_UNROLL
                        for (int i = 0; i < Codes::quads; ++i) {
                            kernels::ivec<Arch> b[Dot::steps];
                            Dot::prepare(w[i], b);
                            QWEN3VL_UNROLL
                            for (int s = 0; s < Dot::steps; ++s) sum[v] = Dot::add(sum[v], b[s], kernels::broadcast4<Arch>(in + (i * Dot::steps + s) * 4));
                        }
                    }
                    in += Codes::quads * Dot::steps * 4;
                }
                QWEN3VL_UNROLL
                for (int v = 0; v < NV; ++v) {
                    kernels::vec<Arch> w_scale(0.0f), minimum(0.0f);
                    if constexpr (!row_scale) w_scale = group_scale<Arch>(panels + v * stride, scales + v * stride, f / activation_group, minimum);
                    total[v] = kernels::add_flush<Arch, Kind>(total[v], kernels::total_sum<Arch, Kind>(sum[v], *start), *scale, *start, w_scale, minimum);
                }
            }
        }
        QWEN3VL_UNROLL
        for (int v = 0; v < NV; ++v) {
            if constexpr (row_scale) total[v] = total[v] * kernels::load<Arch>(reinterpret_cast<const float*>(panels + v * stride));
            kernels::store<Arch>(total[v], out + v * width);
        }
    }
};

}  // namespace qwen3vl::weights
