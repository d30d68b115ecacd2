#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <qwen3vl/core/config.hpp>
#include <span>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Merges of a byte-pair encoding, by pair of neighbouring tokens: the merge's rank (lower goes first) and its result.
/// An open-addressing hash table, at most half full.
class MergeTable {
  public:
    /// Two neighbours that become one token.
    struct Merge {
        std::uint32_t rank = 0;  ///< lower goes first
        int result = 0;          ///< id of the token
    };
    /// `merges`: how many pairs it will hold at most.
    explicit MergeTable(std::size_t merges = 0) : slots_(std::bit_ceil(2 * merges + 2)) {}

    /// A pair that is there already takes the new merge, as in the reference. At most as many different pairs as the
    /// constructor was told.
    void insert(int left, int right, Merge merge) {
        Slot& slot = slots_[find_slot(key(left, right))];
        slot = {key(left, right), merge};
    }
    /// The pair's merge, or null.
    const Merge* find(int left, int right) const {
        const Slot& slot = slots_[find_slot(key(left, right))];
        return slot.pair == empty ? nullptr : &slot.merge;
    }

  private:
    static constexpr std::uint64_t empty = ~std::uint64_t{0};
    struct Slot {
        std::uint64_t pair = empty;
        Merge merge;
    };
    static std::uint64_t key(int left, int right) {
        return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
    }
    std::size_t find_slot(std::uint64_t pair) const {
        std::uint64_t h = pair * 0x9E3779B97F4A7C15u;  // Fibonacci hashing: 2^64 / golden ratio
        h ^= h >> 32;
        std::size_t i = h & (slots_.size() - 1);
        while (slots_[i].pair != empty && slots_[i].pair != pair) i = (i + 1) & (slots_.size() - 1);
        return i;
    }
    std::vector<Slot> slots_;
};

/// Byte-pair encoding of one piece of text (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909): always the merge
/// of the lowest rank, the leftmost of equals first, until none applies. A linked list of symbols and a heap of
/// candidate merges: O(n log n) for n bytes, whatever they are.
class BytePairEncoder {
  public:
    /// The table has to outlive the encoder.
    explicit BytePairEncoder(const MergeTable& merges) : merges_(&merges) {}

    /// Appends to `out` the tokens that `symbols` (a piece's bytes as tokens; fewer than 2^31) merge into.
    void encode(std::span<const int> symbols, std::vector<int>& out) {
        const auto n = static_cast<int>(symbols.size());
        if (n == 0) return;
        list_.resize(symbols.size());
        heap_.clear();
        for (int i = 0; i < n; ++i) at(i) = {symbols[static_cast<std::size_t>(i)], i - 1, i + 1 < n ? i + 1 : -1};
        for (int i = 0; i + 1 < n; ++i) {
            if (const auto* m = merges_->find(at(i).token, at(i + 1).token)) heap_.push_back(candidate(m->rank, i));
        }
        std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
        while (!heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
            const std::uint64_t top = heap_.back();
            heap_.pop_back();
            merge_at(static_cast<int>(top & 0xFFFFFFFFu), static_cast<std::uint32_t>(top >> 32));
        }
        for (int i = 0; i >= 0; i = at(i).next) out.push_back(at(i).token);
    }

  private:
    struct Symbol {
        int token, previous, next;  // -1: none; a symbol that was swallowed has token -1
    };
    static std::uint64_t candidate(std::uint32_t rank, int position) {
        return std::uint64_t{rank} << 32 | static_cast<std::uint32_t>(position);
    }
    Symbol& at(int i) { return list_[static_cast<std::size_t>(i)]; }

    /// Carries out a candidate, unless its pair has changed since it was found.
    void merge_at(int i, std::uint32_t rank) {
        if (at(i).token < 0 || at(i).next < 0) return;
        const int swallowed = at(i).next;
        const auto* m = merges_->find(at(i).token, at(swallowed).token);
        if (!m || m->rank != rank) return;
        at(i).token = m->result;
        at(i).next = at(swallowed).next;
        at(swallowed).token = -1;
        if (at(i).next >= 0) at(at(i).next).previous = i;
        propose(i);
        if (at(i).previous >= 0) propose(at(i).previous);
    }
    void propose(int i) {
        if (at(i).next < 0) return;
        if (const auto* m = merges_->find(at(i).token, at(at(i).next).token)) {
            heap_.push_back(candidate(m->rank, i));
            std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
        }
    }

    const MergeTable* merges_;
    std::vector<Symbol> list_;
    std::vector<std::uint64_t> heap_;
};

}  // namespace qwen3vl::tokenizer
