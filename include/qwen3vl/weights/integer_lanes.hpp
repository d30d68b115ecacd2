#pragma once
#include <qwen3vl/weights/input_gram.hpp>
#include <qwen3vl/weights/integer_codes.hpp>

/// The integer formats again, for the weights of as many rows at once as an Arch has lanes: w [columns][Arch::floats],
/// one row to a lane.
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// GroupScale of every lane.
template <class Arch>
struct LaneScale {
    kernels::vec<Arch> scale = kernels::vec<Arch>(0.0f), minimum = kernels::vec<Arch>(0.0f);
};

template <class Arch, class Format>
struct IntegerLanes {
    using F = integer_format<Format>;
    using V = kernels::vec<Arch>;
    using Scale = LaneScale<Arch>;
    static constexpr std::int64_t width = Arch::floats;
    static constexpr bool quantiles = std::is_same_v<typename F::Codes, Nf4Codes>, minimum = F::Kind::minimum;

    /// Computes F::fit for each lane.
    static Scale fit(const float* w, std::int64_t n) {
        V low = kernels::load<Arch>(w), high = low;
        for (std::int64_t c = 1; c < n; ++c) {
            const V v = kernels::load<Arch>(w + c * width);
            low = xsimd::min(low, v);
            high = xsimd::max(high, v);
        }
        if constexpr (minimum) return {(high - low) / V(15.0f), low};
        if constexpr (std::is_same_v<typename F::Codes, NibbleCodes>)
            return {xsimd::select(-low > high, low, high) / V(-8.0f)};
        const V largest = xsimd::max(-low, high);
        return {quantiles ? largest : largest / V(127.0f)};
    }

    /// Turns weights of groups with these scales into codes.
    class Encoder {
      public:
        explicit Encoder(const Scale& g)
            : minimum_(g.minimum),
              inverse_(xsimd::select(xsimd::abs(g.scale) >= V(detail::least_scale), V(1.0f) / g.scale, V(0.0f))) {}
        /// F::encode's codes.
        kernels::ivec<Arch> codes(V w) const {
            if constexpr (quantiles)
                return code(w);
            else
                return kernels::isa::add_int32(Arch{}, kernels::isa::float_to_int(Arch{}, bounded(w)),
                                               kernels::isa::set_int(Arch{}, F::zero));
        }
        /// Numbers that the codes of `w` stand for, in units of the scale, from the minimum.
        V numbers(V w) const {
            if constexpr (quantiles)
                return number(w);
            else
                return kernels::isa::int_to_float(Arch{}, kernels::isa::float_to_int(Arch{}, bounded(w)));
        }

      private:
        V bounded(V w) const {
            const V scaled = minimum ? (w - minimum_) * inverse_ : w * inverse_;
            return xsimd::min(xsimd::max(scaled, V(static_cast<float>(F::lowest - F::zero))),
                              V(static_cast<float>(F::highest - F::zero)));
        }
        kernels::ivec<Arch> code(V w) const {
            const V x = w * inverse_;
            auto n = kernels::isa::set_int(Arch{}, 0);
            QWEN3VL_UNROLL
            for (std::size_t i = 0; i + 1 < 16; ++i)
                n = kernels::isa::count_greater(Arch{}, n, x, V(detail::nf4_midpoint(i)));
            return n;
        }
        /// The codebook's number: its first, and the steps at all midpoints that the weight lies above.
        V number(V w) const {
            const V x = w * inverse_;
            V sum(-127.0f);
            QWEN3VL_UNROLL
            for (std::size_t i = 0; i + 1 < 16; ++i)
                sum = sum + xsimd::select(x > V(detail::nf4_midpoint(i)),
                                          V(static_cast<float>(nf4_codebook[i + 1] - nf4_codebook[i])), V(0.0f));
            return sum * V(F::x_unit);
        }
        V minimum_, inverse_;
    };

    /// Sum over the group of importance * (w - what it becomes)^2, by lane.
    static V error(const float* w, const float* importance, std::int64_t n, const Scale& g) {
        const Encoder encoder(g);
        V sum(0.0f);
        for (std::int64_t c = 0; c < n; ++c) {
            const V v = kernels::load<Arch>(w + c * width),
                    off = v - kernels::fma<Arch>(encoder.numbers(v), g.scale, g.minimum);
            sum = kernels::fma<Arch>(off * off, V(importance[c]), sum);
        }
        return sum;
    }

    /// Scale (and minimum) that minimise error(), where `keep` rounds a scale as the format stores it. Searches scales
    /// from 0.6 to 1.3 times fit()'s, of either sign where codes are not symmetric, each refined to the least squares'
    /// solution for its codes. Never worse than fit()'s. The search is that of llama.cpp's ggml-quants.c,
    /// `make_qx_quants` and `make_qkx2_quants`, with measured importance.
    template <class Keep>
    static Scale search(const float* w, const float* importance, std::int64_t n, Keep&& keep) {
        const Scale start = fit(w, n);
        Scale best = keep(start);
        V least = error(w, importance, n, best);
        const auto consider = [&](const Scale& g) {
            const Scale kept = keep(refit(w, importance, n, g));
            const V e = error(w, importance, n, kept);
            const auto better = e < least;
            least = xsimd::select(better, e, least);
            best = {xsimd::select(better, kept.scale, best.scale), xsimd::select(better, kept.minimum, best.minimum)};
        };
        for (int i = 0; i < search_steps; ++i) {
            const V factor(0.6f + 0.7f * static_cast<float>(i) / static_cast<float>(search_steps - 1));
            const V scale = start.scale * factor;
            if constexpr (minimum) {  // clips both ends alike
                consider({scale, start.minimum + V(7.5f) * (start.scale - scale)});
            } else {
                consider({scale});
                if constexpr (F::lowest - F::zero != F::zero - F::highest) consider({-scale});
            }
        }
        for (int i = 0; i < 2; ++i) consider(best);
        return best;
    }

    /// Moves the weights w [cols] behind each of the columns [first, first + n), whose scale is g, to compensate its
    /// rounding error. `original`: the weights before any were moved.
    static void carry_errors(float* w, const float* original, std::int64_t cols, std::int64_t first, std::int64_t n,
                             const Scale& g, const ErrorFeedback& feedback) {
        const Encoder encoder(g);
        for (std::int64_t i = first; i < first + n; ++i) {
            const V becomes =
                kernels::fma<Arch>(encoder.numbers(kernels::load<Arch>(w + i * width)), g.scale, g.minimum);
            const V error = kernels::load<Arch>(original + i * width) - becomes;
            const std::int64_t begin = i / feedback.block * feedback.block,
                               end = std::min(begin + feedback.block, cols);
            const float* carry = feedback.carry.data() + i * feedback.block - begin;
            for (std::int64_t k = i + 1; k < end; ++k)
                kernels::store<Arch>(kernels::fma<Arch>(error, V(carry[k]), kernels::load<Arch>(w + k * width)),
                                     w + k * width);
        }
    }

  private:
    static constexpr int search_steps = 24;

    /// The scale and minimum that minimise the error for the codes that g gives; g where they are not determined.
    static Scale refit(const float* w, const float* importance, std::int64_t n, const Scale& g) {
        const Encoder encoder(g);
        V h(0.0f), hq(0.0f), hw(0.0f), hqq(0.0f), hqw(0.0f);
        for (std::int64_t c = 0; c < n; ++c) {
            const V v = kernels::load<Arch>(w + c * width), q = encoder.numbers(v), i(importance[c]);
            hqq = kernels::fma<Arch>(i * q, q, hqq);
            hqw = kernels::fma<Arch>(i * q, v, hqw);
            if constexpr (minimum) {
                h = h + i;
                hq = kernels::fma<Arch>(i, q, hq);
                hw = kernels::fma<Arch>(i, v, hw);
            }
        }
        if constexpr (minimum) {
            const V determinant = h * hqq - hq * hq;
            const auto solvable = determinant > V(1e-6f) * h * hqq;
            const V scale = (h * hqw - hq * hw) / determinant;
            return {xsimd::select(solvable, scale, g.scale), xsimd::select(solvable, (hw - scale * hq) / h, g.minimum)};
        } else {
            return {xsimd::select(hqq > V(0.0f), hqw / hqq, g.scale)};
        }
    }
};

}  // namespace qwen3vl::weights
