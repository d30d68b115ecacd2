#pragma once
#include <algorithm>
#include <cstddef>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Limits beyond which an answer counts as an endless loop. Its end is then one sequence of at most `longest` tokens,
/// `repeats` times over, and at least `least` tokens in all.
struct LoopGuard {
    int longest = 64;  ///< tokens
    int repeats = 8;   ///< 0: no guard
    int least = 96;    ///< tokens
};

/// Watches an answer for loops, token by token, in time `longest`.
class LoopDetector {
  public:
    /// Watches for loops within these limits; with `repeats` 0, for none.
    explicit LoopDetector(const LoopGuard& guard)
        : guard_(guard), matches_(guard.repeats > 0 ? static_cast<std::size_t>(std::max(guard.longest, 0)) + 1 : 0) {}
    /// True if the answer has run into a loop with its last token; `answer` is all of it so far. Call once for each
    /// token.
    bool push(const std::vector<int>& answer) {
        bool looping = false;
        const std::size_t n = answer.size();
        for (std::size_t period = 1; period < matches_.size() && period < n; ++period) {
            std::size_t& run = matches_[period];  // how many tokens up to the last equal the one a period before
            run = answer[n - 1] == answer[n - 1 - period] ? run + 1 : 0;
            const std::size_t long_enough = std::max(period * static_cast<std::size_t>(guard_.repeats),
                                                     static_cast<std::size_t>(std::max(guard_.least, 0)));
            looping = looping || run + period >= long_enough;
        }
        return looping;
    }

  private:
    LoopGuard guard_;
    std::vector<std::size_t> matches_;
};

/// Passes text on until a stop string begins; holds back what may be the beginning of one.
class StopStrings {
  public:
    /// Watches for any of these strings; empty ones are passed over.
    explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
        std::erase(stops_, std::string());
    }
    /// Appends text; returns the text that is safe to show.
    std::string push(std::string_view text) {
        held_ += text;
        std::size_t begin = std::string::npos;
        for (const auto& s : stops_) begin = std::min(begin, held_.find(s));
        if (begin != std::string::npos) {
            found_ = true;
            held_.resize(begin);
            return std::exchange(held_, {});
        }
        std::size_t keep = 0;  // the longest end that some stop string begins with
        for (const auto& s : stops_)
            for (std::size_t n = std::min(s.size() - 1, held_.size()); n > keep; --n)
                if (held_.ends_with(std::string_view(s).substr(0, n))) keep = n;
        std::string out = held_.substr(0, held_.size() - keep);
        held_.erase(0, held_.size() - keep);
        return out;
    }
    /// Returns the text held back, when the answer ends otherwise.
    std::string finish() { return std::exchange(held_, {}); }
    /// True if a stop string has begun; text behind it is not given.
    bool found() const { return found_; }

  private:
    std::vector<std::string> stops_;
    std::string held_;
    bool found_ = false;
};

}  // namespace qwen3vl
