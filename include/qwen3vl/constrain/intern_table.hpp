#pragma once
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Numbers for things that are equal: an open-addressing hash table of indices into a list that the owner keeps.
class InternTable {
  public:
    /// An empty table.
    InternTable() { clear(); }
    /// Forgets all indices.
    void clear() {
        slots_.assign(256, -1);
        size_ = 0;
    }
    /// The index for which `equal` holds, or `fresh`, which the owner then adds to its list. `hash_of` gives the hash
    /// of an index.
    template <class Equal, class HashOf>
    int find_or_add(std::uint64_t hash, int fresh, const Equal& equal, const HashOf& hash_of) {
        if (2 * size_ >= slots_.size()) {
            std::vector<int> larger(slots_.size() * 2, -1);
            for (const int index : slots_)
                if (index >= 0) {
                    std::size_t i = hash_of(index) & (larger.size() - 1);
                    while (larger[i] >= 0) i = (i + 1) & (larger.size() - 1);
                    larger[i] = index;
                }
            slots_ = std::move(larger);
        }
        std::size_t i = hash & (slots_.size() - 1);
        while (slots_[i] >= 0) {
            if (equal(slots_[i])) return slots_[i];
            i = (i + 1) & (slots_.size() - 1);
        }
        slots_[i] = fresh;
        ++size_;
        return fresh;
    }

  private:
    std::vector<int> slots_;
    std::size_t size_ = 0;
};

}  // namespace qwen3vl::constrain
