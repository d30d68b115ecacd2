#pragma once
#include <algorithm>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/position/rotary.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::position {

/// A learned vector for each of the first T.n places of a sequence, added to what is embedded there, words and pictures
/// alike (Gehring et al., 2017, "Convolutional sequence to sequence learning", section 3.1), beside any rotary policy.
/// Its parameter "position.table" [T.n, hidden] comes from LoadOptions::parameters; of zeros, the model is the stock
/// one. A context is at most T.n tokens long.
///     position::Learned<position::MRopeInterleaved, Tokens{8192}>
template <class Base, Tokens T>
struct Learned : Base {
    static_assert(T.n > 0, "qwen3vl: slot position: Learned needs Tokens above 0");
    static constexpr const char* name = "Learned";
    static constexpr std::int64_t max_positions(const TextDims& d) {
        return std::min<std::int64_t>(Base::max_positions(d), T.n);
    }
    template <class M, class V>
    struct Parameters {
        V table{};  ///< [T.n, hidden]
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& d, P& p, F&& f) {
        f("position.table", Shape{T.n, d.text.hidden}, p.table);
    }
    /// Adds the vector of sequence index `at` to a row of d.hidden numbers.
    template <class Ops, class P>
    static void add(const Ops& ops, const P& p, const TextDims& d, std::int64_t at, Matrix row) {
        ops.add_rows({p.table.data() + at * d.hidden, 1, d.hidden, d.hidden}, row);
    }
};

}  // namespace qwen3vl::position
