#pragma once
#include <bit>
#include <cstdint>
#include <qwen3vl/mask/ranges.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// Mask whose queries chose blocks of keys: a bit for each query and block. Refers to the bits, which the caller owns.
class Selection {
  public:
    /// Words of bits for `keys` keys, of one query.
    static constexpr std::int64_t words(std::int64_t keys, std::int64_t block) {
        return ((keys + block - 1) / block + 63) / 64;
    }

    /// `bits` [queries, words] of the queries from `first` on.
    Selection(std::uint64_t* bits, std::int64_t words, std::int64_t first, std::int64_t block)
        : bits_(bits), words_(words), first_(first), block_(block) {}

    /// Lets a query see the keys of block b.
    void choose(std::int64_t query, std::int64_t b) { row(query)[b / 64] |= std::uint64_t{1} << b % 64; }

    template <class F>
    void for_each_range(std::int64_t first_query, std::int64_t last_query, KeyRange within, F&& f) const {
        within.end = std::min(within.end, last_query + 1);
        for (std::int64_t b = within.begin / block_; b * block_ < within.end; ++b)
            if (any(first_query, last_query, b)) give({b * block_, (b + 1) * block_}, within, f);
    }
    bool whole(std::int64_t first_query, std::int64_t last_query, std::int64_t first_key, std::int64_t last_key) const {
        if (last_key > first_query) return false;
        for (std::int64_t q = first_query; q <= last_query; ++q)
            for (std::int64_t b = first_key / block_; b <= last_key / block_; ++b)
                if (!chosen(q, b)) return false;
        return true;
    }
    bool visible(std::int64_t query, std::int64_t key) const { return key <= query && chosen(query, key / block_); }

  private:
    std::uint64_t* row(std::int64_t query) const { return bits_ + (query - first_) * words_; }
    bool chosen(std::int64_t query, std::int64_t b) const { return row(query)[b / 64] >> b % 64 & 1; }
    bool any(std::int64_t first_query, std::int64_t last_query, std::int64_t b) const {
        for (std::int64_t q = last_query; q >= first_query; --q)
            if (chosen(q, b)) return true;
        return false;
    }

    std::uint64_t* bits_;
    std::int64_t words_, first_, block_;
};

}  // namespace qwen3vl::mask
