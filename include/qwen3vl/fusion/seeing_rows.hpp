#pragma once
#include <algorithm>
#include <qwen3vl/core/pass.hpp>

/// The rows of a pass that have pictures before them.
namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Consecutive rows of a sequence with the same pictures before them.
template <class State>
struct SeeingRows {
    const SequenceRows<State>* sequence;  ///< all its rows of the pass
    std::int64_t row, count;              ///< rows [row, row + count) of the pass
    std::size_t pictures;                 ///< the first so many of the sequence's, at least one
    std::int64_t features = 0;            ///< rows of features of these
};

/// f(SeeingRows) for the rows whose tokens lie behind the end of a picture, in order.
template <class Pass, class F>
void for_each_seeing(const Pass& pass, F&& f) {
    for (const auto& s : pass.sequences) {
        using State = std::remove_pointer_t<decltype(s.state)>;
        std::int64_t features = 0, from = s.first;
        std::size_t pictures = 0;
        const std::int64_t end = s.first + s.count;
        const auto give = [&](std::int64_t to) {
            if (pictures > 0 && from < to)
                f(SeeingRows<State>{&s, s.row + from - s.first, to - from, pictures, features});
            from = std::max(from, to);
        };
        s.while_pictures([&](const SequencePicture& p) {
            if (p.end() >= end) return false;
            give(p.end());
            features += p.features;
            ++pictures;
            return true;
        });
        give(end);
    }
}

/// Rows of the stream that see pictures, one behind another: the stream itself where it has no others, else copies in
/// memory of the policy's scratch, [rows, hidden].
template <class Pass>
class SeeingStream {
  public:
    /// Gathers the rows; `memory`: as many as the pass has, used where others lie between them.
    SeeingStream(const Pass& pass, const Matrix& memory) : pass_(pass) {
        std::int64_t n = 0;
        for_each_seeing(pass, [&](const auto& part) { n += part.count; });
        all_ = n == pass.x.rows;
        x_ = all_ ? pass.x : memory.first(n);
        move([&](const Matrix& row, const Matrix& apart) { pass.ops.copy_rows(row, apart); });
    }
    /// The rows, [n, hidden].
    const Matrix& x() const { return x_; }
    /// Puts copies back in their places.
    void finish() const {
        move([&](const Matrix& row, const Matrix& apart) { pass_.ops.copy_rows(apart, row); });
    }

  private:
    template <class F>
    void move(F&& f) const {
        if (all_) return;
        std::int64_t to = 0;
        for_each_seeing(pass_, [&](const auto& part) {
            f(pass_.x.from(part.row).first(part.count), x_.from(to).first(part.count));
            to += part.count;
        });
    }

    const Pass& pass_;
    Matrix x_;
    bool all_ = false;
};

}  // namespace qwen3vl::fusion
