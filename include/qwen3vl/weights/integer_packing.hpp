#pragma once
#include <cmath>
#include <cstring>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/weights/integer_lanes.hpp>
#include <qwen3vl/weights/integer_layout.hpp>
#include <qwen3vl/weights/read_panel.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Packs checkpoints' tensors into an integer format's panels, and gives rows back.
template <class Format>
struct IntegerPacking : IntegerLayout<Format> {
    using Layout = IntegerLayout<Format>;
    using Layout::load_columns, Layout::row_range, Layout::row_scale;
    using typename Layout::Codes;
    using typename Layout::F;
    using typename Layout::Kind;

    static constexpr bool row_major = false;
    static constexpr bool is_mapped(DType) { return false; }

    /// Quantises the tensor `view` of rows * cols numbers to `out`, bytes(rows, cols). Rounds to nearest; given the
    /// `moments` of the columns, minimises the outputs' error instead: scales are searched (IntegerLanes::search), and
    /// later columns compensate each error (ErrorFeedback). Throws LoadError where a number is not finite or too large
    /// for a scale, or the moments are not positive semidefinite.
    template <class Arch, class Team>
    static void pack(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team,
                     std::byte* out, const InputGram* moments = nullptr) {
        constexpr std::int64_t width = Arch::floats;
        const ErrorFeedback feedback = moments ? error_feedback(*moments, team) : ErrorFeedback{};
        ThreadBuffers buffers(team.threads(), (moments ? 2 : 1) * cols * width);
        team.run(ceil_div(rows, panel_rows<Arch>), [&](std::int64_t index, int thread) {
            float* w = buffers.of(thread);
            std::byte* panel = out + index * Layout::template panel_bytes<Arch>(cols);
            std::memset(panel, 0, static_cast<std::size_t>(Layout::template panel_bytes<Arch>(cols)));
            for (std::int64_t row = 0; row < panel_rows<Arch> && index * panel_rows<Arch> + row < rows; row += width) {
                read_panel<Arch>(view, index * panel_rows<Arch> + row, rows, cols, w);
                check_range<Arch>(w, cols, view, name);
                if (moments) std::copy_n(w, cols * width, w + cols * width);
                pack_rows<Arch>(w, cols, moments ? &feedback : nullptr, row, panel);
            }
        });
    }

    template <class Arch>
    static void row(const WeightMatrix& w, std::int64_t r, float* out) {
        const std::int64_t cols = w.cols(), lane = r % panel_rows<Arch>;
        const std::byte* panel = w.data() + r / panel_rows<Arch> * Layout::template panel_bytes<Arch>(cols);
        Layout::template for_each_group<Arch>(cols, [&](std::int64_t first, std::int64_t count) {
            const GroupScale g = get_scale<Arch>(panel, cols, first, lane);
            for (std::int64_t c = first; c < first + count; ++c)
                out[c] = F::decode(Codes::get(panel + Layout::template lane_at<Arch>(c, lane),
                                              static_cast<int>(c % load_columns / 4), static_cast<int>(c % 4)),
                                   g);
        });
    }

  private:
    /// The scale of the group at column c, for one row of the panel.
    template <class Arch>
    static GroupScale get_scale(const std::byte* panel, std::int64_t cols, std::int64_t c, std::int64_t row) {
        const auto number = [&]<class T>(T v, std::int64_t at) {
            std::memcpy(static_cast<void*>(&v), panel + at, sizeof v);
            return static_cast<float>(v);
        };
        if constexpr (row_scale) {
            return {number(0.0f, 4 * row)};
        } else {
            const std::int64_t at = Layout::template group_at<Arch>(cols, c);
            if constexpr (row_range)
                return {std::fma(number(std::uint8_t{}, at + row), number(0.0f, 4 * (panel_rows<Arch> + row)),
                                 number(0.0f, 4 * row))};
            else
                return {number(f16{}, at + 2 * row),
                        Kind::minimum ? number(f16{}, at + 2 * (panel_rows<Arch> + row)) : 0.0f};
        }
    }

    template <class Arch>
    static void check_range(const float* w, std::int64_t cols, const TensorView& view, const std::string& name) {
        kernels::vec<Arch> largest(0.0f), undefined(0.0f);
        for (std::int64_t c = 0; c < cols; ++c) {
            const auto v = kernels::load<Arch>(w + c * Arch::floats);
            largest = xsimd::max(largest, xsimd::abs(v));
            undefined = undefined + (v - v);
        }
        if (!(kernels::max_lane<Arch>(largest) <= 65504.0f && kernels::sum_lanes<Arch>(undefined) == 0.0f))
            throw LoadError(std::string(view.file), name,
                            std::string("finite numbers within 65504 for ") + Format::name,
                            std::to_string(*std::find_if_not(w, w + cols * Arch::floats,
                                                             [](float v) { return std::abs(v) <= 65504.0f; })));
    }

    /// The vector of rows of a panel from `row` on: w [cols][Arch::floats]; with feedback, followed by a copy of it.
    template <class Arch>
    static void pack_rows(float* w, std::int64_t cols, const ErrorFeedback* feedback, std::int64_t row,
                          std::byte* panel) {
        using Lanes = IntegerLanes<Arch, Format>;
        constexpr std::int64_t width = Arch::floats;
        auto* header = reinterpret_cast<float*>(panel) + row;
        const auto fit = [&](std::int64_t c, std::int64_t n) {
            if (!feedback) return Lanes::fit(w + c * width, n);
            for (std::int64_t i = c * width; i < (c + n) * width; ++i)
                w[i] = std::clamp(w[i], -65504.0f, 65504.0f);  // what columns before it have carried on
            return Lanes::search(w + c * width, feedback->variance.data() + c, n, kept_scale<Arch>);
        };
        const auto put = [&](std::int64_t c, std::int64_t n, const LaneScale<Arch>& g) {
            if (feedback) Lanes::carry_errors(w, w + cols * width, cols, c, n, g, *feedback);
            put_codes<Arch>(w, c, n, g, row, panel);
        };
        const auto scales_at = [&](std::int64_t c) { return panel + Layout::template group_at<Arch>(cols, c); };
        if constexpr (row_scale) {
            const auto g = fit(0, cols);
            kernels::store<Arch>(g.scale, header);
            put(0, cols, g);
        } else if constexpr (row_range) {
            std::vector<float> scales;
            kernels::vec<Arch> low(HUGE_VALF), high(0.0f);
            Layout::template for_each_group<Arch>(cols, [&](std::int64_t c, std::int64_t n) {
                const auto scale = fit(c, n).scale;
                low = xsimd::min(low, scale);
                high = xsimd::max(high, scale);
                scales.resize(scales.size() + width);
                kernels::store<Arch>(scale, scales.data() + scales.size() - width);
            });
            kernels::store<Arch>(low, header);
            kernels::store<Arch>((high - low) / kernels::vec<Arch>(255.0f), header + panel_rows<Arch>);
            const float* scale = scales.data();
            Layout::template for_each_group<Arch>(cols, [&](std::int64_t c, std::int64_t n) {
                for (std::int64_t r = 0; r < width; ++r, ++scale)
                    scales_at(c)[row + r] = static_cast<std::byte>(detail::clamp_round(
                        (*scale - header[r]) * detail::inverse(header[panel_rows<Arch> + r]), 0, 255));
                put(c, n, read_scale<Arch>(panel, scales_at(c), row));
            });
        } else {
            Layout::template for_each_group<Arch>(cols, [&](std::int64_t c, std::int64_t n) {
                const auto g = fit(c, n);
                auto* out = reinterpret_cast<f16*>(scales_at(c)) + row;
                kernels::store<Arch>(g.scale, out);
                if constexpr (Kind::minimum) kernels::store<Arch>(g.minimum, out + panel_rows<Arch>);
                put(c, n, read_scale<Arch>(panel, scales_at(c), row));
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
    static LaneScale<Arch> read_scale(const std::byte* panel, const std::byte* at, std::int64_t row) {
        LaneScale<Arch> g;
        g.scale = Layout::template group_scale<Arch>(panel, at, row, g.minimum);
        return g;
    }

    /// The codes of columns [first, first + n), which share their scales.
    template <class Arch>
    static void put_codes(const float* w, std::int64_t first, std::int64_t n, const LaneScale<Arch>& g,
                          std::int64_t row, std::byte* panel) {
        const typename IntegerLanes<Arch, Format>::Encoder encoder(g);
        for (std::int64_t c = first; c < first + n; c += load_columns) {
            auto packed = kernels::isa::set_int(Arch{}, 0);
            for (std::int64_t quad = Codes::quads; quad-- > 0;) {
                auto four = kernels::isa::set_int(Arch{}, 0);
                for (std::int64_t i = c + 4 * quad + 4; i-- > c + 4 * quad;) {
                    four = kernels::isa::template shift_left32<8>(Arch{}, four);
                    if (i < first + n)
                        four = kernels::isa::add_int32(Arch{}, four,
                                                       encoder.codes(kernels::load<Arch>(w + i * Arch::floats)));
                }
                packed = kernels::isa::add_int32(Arch{}, kernels::isa::template shift_left32<4>(Arch{}, packed), four);
            }
            kernels::isa::store_bytes(Arch{}, packed, panel + Layout::template lane_at<Arch>(c, row));
        }
    }
};

}  // namespace qwen3vl::weights
