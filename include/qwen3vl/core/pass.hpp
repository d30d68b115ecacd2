#pragma once
#include <algorithm>
#include <cstddef>
#include <qwen3vl/core/activations.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/core/token_log.hpp>
#include <span>

/// A forward pass as policies see it, and the state that they may keep of a sequence.
namespace qwen3vl::inline QWEN3VL_ABI {

/// Counts of what a sequence holds, on which the sizes of policies' states depend.
struct SavedExtent {
    std::int64_t tokens = 0;         ///< text and pad tokens together
    std::int64_t visual_tokens = 0;  ///< rows of features of all pictures among the tokens
    std::int64_t pictures = 0;       ///< pictures and frame pairs
};

/// State of a policy that keeps nothing of a sequence. A policy that keeps something has a type State with these
/// members; one State serves all layers.
struct NoState {
    /// True if rewind(), or for_each_piece(), works.
    static constexpr bool can_rewind = true, can_save = true;
    // Optional: static constexpr const char* layout, which names how the pieces are to be read; a saved sequence of
    // another layout is refused.

    /// Bytes of planned memory for a sequence of at most `context` tokens; zeroed, aligned to 64.
    static std::int64_t bytes(const ModelDims& /*dims*/, std::int64_t /*context*/) { return 0; }
    /// Lays an empty state over bytes(dims, context) of zeroed memory, which outlives it.
    NoState(const ModelDims& /*dims*/, std::int64_t /*context*/, std::byte* /*memory*/) {}
    /// Forgets all but what the first `tokens` tokens left. Called too where a pass failed.
    void rewind(std::int64_t /*tokens*/) {}
    /// Becomes a copy of another sequence's state, which has so much in use; its context may be another.
    void copy(const NoState& /*other*/, const SavedExtent& /*used*/) {}
    /// Bytes of all pieces in a saved sequence.
    static std::int64_t saved_bytes(const ModelDims& /*dims*/, const SavedExtent& /*saved*/) { return 0; }
    /// Calls f(std::span<std::byte>) for each piece of the state in a saved sequence. Saving reads the pieces,
    /// restoring fills them.
    template <class F>
    void for_each_piece(const SavedExtent& /*saved*/, F&& /*f*/) {}
};

namespace detail {
template <class P>
struct policy_state {
    using type = NoState;
};
template <class P>
requires requires { typename P::State; }
struct policy_state<P> {
    using type = typename P::State;
};
}  // namespace detail

/// A policy's state of a sequence: P::State, or NoState.
template <class P>
using state_of = typename detail::policy_state<P>::type;
/// Policies that keep a state of each sequence.
template <class P>
concept KeepsState = requires {
    typename P::State;
};

/// Pictures of a sequence that a policy is shown: all, or some by a score of each.
struct ShownPictures {
    const float* scores = nullptr;  ///< of each picture; null: all are shown
    float threshold = 0;            ///< of scores
    bool above = false;             ///< shows those with a score above the threshold; false: all others
    /// True if the policy is shown picture number `picture`.
    bool operator()(std::size_t picture) const { return !scores || (scores[picture] > threshold) == above; }
};

/// Consecutive rows of one sequence in a pass.
template <class State>
struct SequenceRows {
    const TokenLog* tokens;          ///< all tokens of the sequence, logged before they are computed
    State* state;                    ///< the policy's state of the sequence
    std::int64_t row, first, count;  ///< rows [row, row + count) of the pass are its tokens [first, first + count)
    ShownPictures shown = {};        ///< the pictures that the policy is shown

    /// f(picture) for each shown one, in order, while it returns true.
    template <class F>
    void while_pictures(F&& f) const {
        const auto all = tokens->pictures();
        for (std::size_t i = 0; i < all.size(); ++i)
            if (shown(i) && !f(all[i])) return;
    }
};

/// A forward pass as a policy sees it.
template <class Ops, class Parameters, class State>
struct Pass {
    const Ops& ops;                ///< the execution's operations, as ops::Cpu
    ModelDims dims;                ///< extents of the model
    const Parameters& parameters;  ///< the policy's
    /// The rows of the pass, sequence by sequence.
    std::span<const SequenceRows<State>> sequences;
    Matrix x;  ///< [rows, hidden], the residual stream
    /// The workspace's buffers, free for use as Activations tells.
    const Activations<typename Ops::Space>& activations;
    /// Memory of the fusion policy's scratch_floats(dims, threads, rows, context), if it has that member.
    typename Ops::Space::template pointer<float> scratch = {};

    /// Calls f(features, first row of them, rows of x) for the part of each picture that lies in these rows.
    template <class F>
    void for_each_picture(F&& f) const {
        for (const auto& s : sequences)
            s.while_pictures([&](const SequencePicture& p) {
                const std::int64_t from = std::max(p.first, s.first), to = std::min(p.end(), s.first + s.count);
                if (from < to)
                    f(*p.pending, p.feature_row + from - p.first,
                      Matrix(x.row(s.row + from - s.first), to - from, x.cols));
                return p.first < s.first + s.count;
            });
    }
};

}  // namespace qwen3vl
