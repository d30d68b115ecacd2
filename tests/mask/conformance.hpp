#pragma once
#include <algorithm>
#include <cstdint>
#include <qwen3vl/concepts/attention.hpp>
#include <qwen3vl/mask/ranges.hpp>
#include <vector>
#include "catch.hpp"

/// What any mask that answers by itself must keep to.
namespace qwen3vl_test {

/// Its predicate is sees(query, key).
template <class Mask, class Sees>
void check_predicate(const Mask& mask, std::int64_t keys, const Sees& sees) {
    int unequal = 0;
    for (std::int64_t q = 0; q < keys; ++q)
        for (std::int64_t k = 0; k < keys; ++k) unequal += mask.visible(q, k) != sees(q, k);
    CHECK(unequal == 0);
}

/// Its ranges hold every key that some query sees and no other, ascending and apart; a part of the keys has its part of
/// the ranges.
template <class Mask>
void check_ranges(const Mask& mask, std::int64_t keys) {
    int missed = 0, disordered = 0, idle = 0;
    for (std::int64_t first = 0; first < keys; first += 3)
        for (std::int64_t last = first; last < keys && last < first + 50; last += 7) {
            const std::int64_t stored = Mask::causal && !qwen3vl::concepts::LooksAhead<Mask> ? last + 1 : keys;
            const auto covered_within = [&](std::int64_t begin, std::int64_t end) {
                std::vector<bool> covered(static_cast<std::size_t>(keys));
                std::int64_t next = begin;
                mask.for_each_range(first, last, {begin, end}, [&](qwen3vl::mask::KeyRange r) {
                    disordered += r.begin < next || r.begin >= r.end || r.end > end;
                    next = r.end;
                    for (std::int64_t k = r.begin; k < r.end; ++k) covered[static_cast<std::size_t>(k)] = true;
                });
                return covered;
            };
            const auto covered = covered_within(0, stored);
            for (std::int64_t begin = 0; begin < stored; begin += 17) {
                const std::int64_t end = std::min(begin + 23, stored);
                const auto part = covered_within(begin, end);
                for (std::int64_t k = 0; k < stored; ++k) {
                    const auto i = static_cast<std::size_t>(k);
                    missed += part[i] != (covered[i] && k >= begin && k < end);
                }
            }
            for (std::int64_t k = 0; k < stored; ++k) {
                bool seen = false;
                for (std::int64_t q = first; q <= last; ++q) seen = seen || mask.visible(q, k);
                missed += seen && !covered[static_cast<std::size_t>(k)];
                idle += !seen && covered[static_cast<std::size_t>(k)];
            }
        }
    CHECK(missed == 0);
    CHECK(disordered == 0);
    CHECK(idle == 0);
}

/// Blocks of queries and keys that it calls whole are wholly visible; how many of those that were tried.
template <class Mask>
int check_whole(const Mask& mask, std::int64_t keys) {
    int wrong = 0, whole = 0;
    for (std::int64_t q0 = 0; q0 < keys; q0 += 3)
        for (std::int64_t q1 = q0; q1 < std::min(q0 + 20, keys); q1 += 4)
            for (std::int64_t k0 = 0; k0 < keys; k0 += 2)
                for (std::int64_t k1 = k0; k1 < std::min(k0 + 12, keys); k1 += 3) {
                    if (!mask.whole(q0, q1, k0, k1)) continue;
                    ++whole;
                    for (std::int64_t q = q0; q <= q1; ++q)
                        for (std::int64_t k = k0; k <= k1; ++k) wrong += !mask.visible(q, k);
                }
    CHECK(wrong == 0);
    return whole;
}

}  // namespace qwen3vl_test
